"use strict";
// Without `validatorUrl: null` the viewer shows the document to a validator on another host.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null,
});

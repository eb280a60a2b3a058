# The broker as a container:
#
#   docker build -t gpu-broker .
#   docker run -p 127.0.0.1:8080:8080 -v gpu-broker:/data -e SERVER_ALLOW_OPEN=true \
#     gpu-broker serve --simulate
#
# Inside a container the broker must listen on every address (SERVER_HOST below), or nobody
# outside reaches it. Nobody has to log in, so it starts only when whoever runs it says
# SERVER_ALLOW_OPEN=true and guards the published port: publish it on 127.0.0.1, as above.
# Everything that must survive is in /data: sessions, keys, the deployment id.
# The client of Vast.ai is an extra: build with --build-arg EXTRAS=[vastai].

FROM python:3.12-slim AS build
ARG EXTRAS=""
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY broker ./broker
COPY providers ./providers
RUN python3 -m venv /opt/gpu-broker \
    && /opt/gpu-broker/bin/pip install --no-cache-dir --quiet --constraint constraints.txt ".${EXTRAS}"

FROM python:3.12-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin broker \
    && install --directory --owner broker --group broker --mode 0700 /data
COPY --from=build /opt/gpu-broker /opt/gpu-broker
ENV PATH=/opt/gpu-broker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATABASE_PATH=/data/gpu-broker.db \
    SERVER_HOST=0.0.0.0 \
    SERVER_PORT=8080
USER broker
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['SERVER_PORT']}/ready\", timeout=4)"]
ENTRYPOINT ["gpu-broker"]
CMD ["serve"]

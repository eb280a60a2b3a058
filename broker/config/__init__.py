"""The configuration: one YAML file, a .env file, the environment and flags -> frozen settings."""

from broker.config.load import load_settings
from broker.config.present import present_settings
from broker.config.problems import ConfigurationError, Problem
from broker.config.quantities import parse_duration, present_duration
from broker.config.settings import Settings

__all__ = [
    "ConfigurationError",
    "Problem",
    "Settings",
    "load_settings",
    "parse_duration",
    "present_duration",
    "present_settings",
]

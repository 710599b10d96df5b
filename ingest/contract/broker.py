"""How to reach the brokers: settings groups for MQTT and Kafka, and the Kafka client options made from them."""

from __future__ import annotations

import ssl
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from ingest.contract.addresses import is_host_list
from ingest.contract.topics import Topics


class MqttSettings(BaseModel):
    """Section [mqtt]: the broker the gateways subscribe at (and the simulators publish to)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(21883, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    tls_ca: str | None = None
    keepalive_s: int = Field(30, ge=5, le=3600)

    @model_validator(mode="after")
    def _password_needs_username(self) -> MqttSettings:
        if self.password is not None and self.username is None:
            raise ValueError("[mqtt] password is set but username is not; set both or none")
        return self


class KafkaSettings(BaseModel):
    """Section [kafka]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap: str = "127.0.0.1:29092"
    topic_prefix: str = Field("city", pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")
    partitions: int = Field(4, ge=1, le=1000)
    replication_factor: int = Field(1, ge=1, le=5)
    min_insync_replicas: int = Field(1, ge=1, le=5)
    request_timeout_ms: int = Field(10_000, ge=1000, le=120_000)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca: str | None = None

    @field_validator("bootstrap")
    @classmethod
    def _is_host_list(cls, text: str) -> str:
        if not is_host_list(text):
            raise ValueError(f"{text!r} is no host:port, e.g. 127.0.0.1:29092, several with commas")
        return text

    @model_validator(mode="after")
    def _consistent(self) -> KafkaSettings:
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                "[kafka] min_insync_replicas is larger than replication_factor; no write could be acknowledged"
            )
        if self.security_protocol.startswith("SASL") and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError("[kafka] security_protocol asks for SASL: set sasl_username and sasl_password")
        return self

    @property
    def topics(self) -> Topics:
        """The topic names under `topic_prefix`."""
        return Topics(self.topic_prefix)

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments every aiokafka client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "request_timeout_ms": self.request_timeout_ms,
            "security_protocol": self.security_protocol,
        }
        if "SSL" in self.security_protocol:
            options["ssl_context"] = ssl.create_default_context(cafile=self.ssl_ca)
        if self.security_protocol.startswith("SASL") and self.sasl_password is not None:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options

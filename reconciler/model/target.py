"""Names of what is deployed where: an environment, and a target, which is an environment on one host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentName:
    """PROJECT/ENVIRONMENT."""

    project: str
    environment: str

    def __str__(self) -> str:
        return f"{self.project}/{self.environment}"

    @classmethod
    def parse(cls, text: str) -> EnvironmentName:
        """Read PROJECT/ENVIRONMENT; ValueError when it is not of that form."""
        project, slash, environment = text.partition("/")
        if not (project and slash and environment) or "/" in environment:
            raise ValueError(f"'{text}' is not of the form PROJECT/ENVIRONMENT")
        return cls(project, environment)


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """PROJECT/ENVIRONMENT@HOST: the unit of planning, locking and deploying."""

    project: str
    environment: str
    host: str

    def __str__(self) -> str:
        return f"{self.project}/{self.environment}@{self.host}"

    @property
    def environment_name(self) -> EnvironmentName:
        return EnvironmentName(self.project, self.environment)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read PROJECT/ENVIRONMENT@HOST; ValueError when it is not of that form."""
        name, at, host = text.rpartition("@")
        if not at or not host:
            raise ValueError(f"'{text}' is not of the form PROJECT/ENVIRONMENT@HOST")
        environment = EnvironmentName.parse(name)
        return cls(environment.project, environment.environment, host)

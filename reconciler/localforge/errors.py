"""Refusals in GitHub's words; handlers raise them and `rest.call` turns them into GitHub's error bodies."""

from __future__ import annotations

from typing import Any

DOCUMENTATION = "https://docs.github.com/rest"


class ForgeError(Exception):
    """A request that is refused: HTTP `status`, GitHub's `message`, and its `errors` list where there is one."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    def body(self) -> dict[str, Any]:
        """The JSON body as GitHub writes it; `status` is a string there, too."""
        body: dict[str, Any] = {"message": self.message}
        if self.errors is not None:
            body["errors"] = self.errors
        return {**body, "documentation_url": DOCUMENTATION, "status": str(self.status)}


def bad_credentials() -> ForgeError:
    return ForgeError(401, "Bad credentials")


def requires_authentication() -> ForgeError:
    return ForgeError(401, "Requires authentication")


def not_found() -> ForgeError:
    """Also the answer for what exists but is hidden from the caller, as on GitHub."""
    return ForgeError(404, "Not Found")


def forbidden(message: str = "Resource not accessible by personal access token") -> ForgeError:
    return ForgeError(403, message)


def conflict(message: str) -> ForgeError:
    return ForgeError(409, message)


def invalid_field(resource: str, field: str, code: str = "invalid", message: str | None = None) -> ForgeError:
    error = {"resource": resource, "field": field, "code": code}
    if message is not None:
        error["message"] = message
    return ForgeError(422, "Validation Failed", [error])


def invalid(resource: str, message: str) -> ForgeError:
    """GitHub's `custom` validation error: a rule that is not about one field."""
    return ForgeError(422, "Validation Failed", [{"resource": resource, "code": "custom", "message": message}])


def unprocessable(reason: str) -> ForgeError:
    """The plain 422 that reviews answer with: the errors are bare texts."""
    return ForgeError(422, "Unprocessable Entity", [reason])

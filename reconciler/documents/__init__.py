"""YAML files as data, read strictly and against a model, with the line of every problem: for the desired state, and for
the server's own configuration, which starts without the rest of what a repository can say.
"""

from reconciler.documents.durations import DURATION, read_duration
from reconciler.documents.parsing import UNFIT, read_node, read_text
from reconciler.documents.reading import ReadFile, kind_problems, nearest, read_content, read_file

__all__ = [
    "DURATION",
    "UNFIT",
    "ReadFile",
    "kind_problems",
    "nearest",
    "read_content",
    "read_duration",
    "read_file",
    "read_node",
    "read_text",
]

"""No-op graphs with Prefect: its own server, started by the client, on its default SQLite database in a fresh
directory. The server's start is not counted. Prefect's client reports task states to the server in the background, so
a flow may end before all of them are in the database."""

import os
import sys

import graphs

shape, first, width, runs, directory = graphs.arguments()
os.environ.update(
    PREFECT_HOME=os.path.join(directory, "prefect"),
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="true",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
    PREFECT_LOGGING_LEVEL="ERROR",
    PREFECT_LOGGING_SERVER_LEVEL="ERROR",
)
os.environ.pop("PREFECT_API_URL", None)

import prefect  # noqa: E402  (the settings above are read on import)


@prefect.task
def item(value):
    return value


@prefect.task
def add(a, b):
    return graphs.add(a, b)


@prefect.flow
def mapped(length):
    return [future.result() for future in item.map(range(length))]


@prefect.flow
def layered(layers, width):
    steps = [item.submit(place) for place in range(width)]
    for layer in range(1, layers):
        for place in range(width):
            a, b = (steps[up * width + at] for up, at in graphs.parents(layer, place, width))
            steps.append(add.submit(a, b))
    return [future.result() for future in steps]


def main():
    mapped(5)  # starts the server
    seconds, answers = graphs.measure(runs, lambda _: mapped(first) if shape == "map" else layered(first, width))
    graphs.report(
        prefect.__version__, "its own server on SQLite, default task runner; states sent in the background", seconds, answers
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()

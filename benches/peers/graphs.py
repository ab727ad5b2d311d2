"""What the peers' scripts share: their arguments, and the form of their answer.

usage: PEER_noop.py map LENGTH 0 RUNS DIRECTORY
       PEER_noop.py dag LAYERS WIDTH RUNS DIRECTORY
"""

import json
import sys
from time import perf_counter

MODULUS = 1_000_003


def add(a, b):
    return (a + b + 1) % MODULUS


def parents(layer, place, width):
    """The two steps that a step of a later layer waits for."""
    return (layer - 1, place), (layer - 1, (place + 1) % width)


def arguments():
    shape, first, second, runs, directory = sys.argv[1:]
    return shape, int(first), int(second), int(runs), directory


def measure(runs, once):
    """Calls `once(number)` for each run; it returns the answers."""
    seconds, answers = [], []
    for number in range(runs):
        started = perf_counter()
        answers = once(number)
        seconds.append(perf_counter() - started)
    return seconds, answers


def report(version, note, seconds, answers):
    print(json.dumps({"version": version, "note": note, "seconds": seconds, "answers": list(answers)}), flush=True)

"""Writes every kind of meter with netflix-spectator-py 0.1, which posts them as it stops."""

import sys

from spectator import Registry
from spectator.histogram import PercentileTimer

registry = Registry()
registry.start({"uri": sys.argv[1], "frequency": 3600, "timeout": 60, "common_tags": {"nf.app": "python"}})
counter = registry.counter("c", {"id": "a"})
counter.increment()
counter.increment(2)
gauge = registry.gauge("g")
gauge.set(1.5)
timer = registry.timer("t")
timer.record(0.5)
timer.record(0.25)
summary = registry.distribution_summary("d")
summary.record(3)
summary.record(4)
percentiles = PercentileTimer(registry, "T")
percentiles.record(0.1)
registry.stop()

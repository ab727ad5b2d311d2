"""Writes every kind of meter with netflix-spectator-py 1: one interval, and after a line on standard input another."""

import sys
from ctypes import c_uint64

from spectator import Registry
from spectator.config import Config

location, buffer_size = sys.argv[1], int(sys.argv[2])
registry = Registry(Config(location, {"platform": "python"}, buffer_size=buffer_size))


def end_of_interval():
    # A writer with a buffer sends what is in it when it is full, and every five seconds.
    print("written", flush=True)
    sys.stdin.readline()


counter = registry.counter("c", {"id": "a b", "k": "v"})
counter.increment()
counter.increment(2)
registry.gauge("g").set(1)
registry.gauge("g").set(1.5)
registry.gauge("g.ttl", ttl_seconds=120).set(2)
registry.max_gauge("m").set(3)
registry.max_gauge("m").set(1)
registry.age_gauge("A.now").now()
registry.age_gauge("A.set").set(1000000000)
registry.timer("t").record(0.5)
registry.timer("t").record(0.25)
registry.distribution_summary("d").record(3)
registry.distribution_summary("d").record(4)
registry.pct_timer("T").record(0.1)
registry.pct_distribution_summary("D").record(42)
registry.monotonic_counter("C").set(10.5)
registry.monotonic_counter_uint("U").set(c_uint64(2**64 - 6))
registry.distinct_count_sketch("S").record("a")
registry.distinct_count_sketch("S").record(42)
registry.distinct_count_sketch("S").record(b"user-12345")
# No client writes this kind; a program that needs it writes the line.
registry.writer().write("X,1000:X:10")
end_of_interval()

registry.monotonic_counter("C").set(42.5)
registry.monotonic_counter_uint("U").set(c_uint64(4))
registry.writer().write("X,3000:X:16")
end_of_interval()
registry.close()

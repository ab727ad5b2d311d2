"""The calls of the native half. They give plain values in the shape of the server's JSON; see its ``/api``."""

from collections.abc import Iterator
from os import PathLike
from typing import Any, Generic, TypeVar, final

__all__ = [
    "Client",
    "Floats",
    "Follow",
    "OnlineDetector",
    "SegmentCost",
    "__version__",
    "arrow_floats",
    "read_spec",
    "signal_changes",
    "signal_changes_many",
    "signal_explain",
    "signal_forecast",
    "signal_lagged",
    "signal_least_squares",
    "signal_matrix_profile",
    "signal_outliers",
    "signal_rpca",
    "signal_seasonal",
]

_T = TypeVar("_T")

__version__: str

@final
class Client:
    """A client of one server. Give ``url`` or ``home``; with neither the environment says which server it is."""

    def __new__(
        cls, url: str | None, token: str | None, home: str | PathLike[str] | None, patience: float
    ) -> Client: ...
    @property
    def url(self) -> str: ...
    def submit(
        self, spec: dict[str, Any], params: dict[str, Any], priority: int, no_cache: bool, key: str | None
    ) -> dict[str, Any]: ...
    def run(self, run: str) -> dict[str, Any]: ...
    def runs(
        self, states: list[str], name: str | None, before: str | None, limit: int
    ) -> list[dict[str, Any]]: ...
    def spec(self, run: str) -> dict[str, Any]: ...
    def steps(self, run: str) -> list[dict[str, Any]]: ...
    def tasks(
        self, run: str, step: str | None, states: list[str], after: int | None, limit: int
    ) -> list[dict[str, Any]]: ...
    def task(self, run: str, step: str, index: int) -> dict[str, Any]: ...
    def outputs(self, run: str, step: str) -> Any: ...
    def log(self, run: str, step: str, index: int, after: int | None) -> tuple[list[str], int | None]:
        """The texts of the log's pieces after the cursor ``after``, and the cursor of the next."""
    def artifact(self, run: str, step: str, index: int, path: str, digest: str | None) -> bytes: ...
    def save_artifact(
        self, run: str, step: str, index: int, path: str, digest: str | None, to: str | PathLike[str]
    ) -> int:
        """Writes the artifact into a file; the length in bytes."""
    def cancel(self, run: str, reason: str | None) -> dict[str, Any]: ...
    def pause(self, run: str) -> dict[str, Any]: ...
    def resume(self, run: str) -> dict[str, Any]: ...
    def retry(self, run: str, from_step: str | None) -> dict[str, Any]: ...
    def events(
        self,
        after: int,
        kind: str | None,
        source: str | None,
        subject: str | None,
        since: str | None,
        limit: int,
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of events, and the cursor of the next."""
    def follow_run(self, run: str) -> Follow[dict[str, Any]]: ...
    def follow_log(self, run: str, step: str, index: int) -> Follow[str]: ...
    def follow_events(
        self, after: int, kind: str | None, source: str | None, subject: str | None
    ) -> Follow[dict[str, Any]]: ...

@final
class Follow(Generic[_T]):
    """An iterator over what follows. Ctrl-C ends the waiting, not the follower."""

    def __iter__(self) -> Iterator[_T]: ...
    def __next__(self) -> _T: ...
    def next(self, timeout: float | None = None) -> _T:
        """What comes next within ``timeout`` seconds, else `TimeoutError`; `StopIteration` at the end."""
    def close(self) -> None:
        """Closes the connection; the iterator ends."""

def read_spec(path: str | PathLike[str]) -> dict[str, Any]: ...

@final
class Floats:
    """Numbers from Arrow, as NumPy can look at them: ``numpy.asarray(floats)`` is a view."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    @property
    def is_view(self) -> bool: ...

def arrow_floats(source: Any) -> Floats:
    """The numbers of an Arrow array, or the columns of an Arrow table, one in each row; null becomes NaN."""

@final
class SegmentCost:
    """The cost of any segment of one signal; ``signal`` is a C-contiguous array of float64."""

    @staticmethod
    def fit(
        model: str,
        signal: Any,
        *,
        gamma: float | None = None,
        metric: list[float] | None = None,
        order: int | None = None,
        floor: float | None = None,
    ) -> SegmentCost: ...
    @staticmethod
    def custom(object: Any, points: int, min_size: int) -> SegmentCost: ...
    @property
    def gamma(self) -> float | None: ...
    @property
    def metric(self) -> list[float] | None: ...
    def error(self, start: int, end: int) -> float: ...
    def pelt(self, pen: float, min_size: int, jump: int) -> list[int]: ...
    def dynp(self, n_bkps: int, min_size: int, jump: int) -> list[int]: ...
    def binseg(
        self,
        min_size: int,
        jump: int,
        n_bkps: int | None = None,
        pen: float | None = None,
        epsilon: float | None = None,
    ) -> list[int]: ...
    def bottom_up(
        self,
        min_size: int,
        jump: int,
        n_bkps: int | None = None,
        pen: float | None = None,
        epsilon: float | None = None,
    ) -> list[int]: ...
    def window(
        self,
        width: int,
        min_size: int,
        jump: int,
        n_bkps: int | None = None,
        pen: float | None = None,
        epsilon: float | None = None,
    ) -> list[int]: ...
    def __copy__(self) -> SegmentCost: ...
    def __deepcopy__(self, memo: Any, /) -> SegmentCost: ...

def signal_changes(
    signal: Any, model: str, min_size: int, penalty: float | None = None
) -> tuple[list[int], list[int], float]: ...
def signal_changes_many(
    signals: Any, model: str, min_size: int, penalty: float | None = None, threads: int | None = None
) -> list[list[int]]: ...
def signal_least_squares(signal: Any, min_size: int, penalty: float) -> list[int]: ...
def signal_lagged(signal: Any, others: Any, reach: int, out: Any, threads: int | None = None) -> None: ...
def signal_explain(
    alert: Any,
    table: Any,
    *,
    at: int,
    before: int,
    after: int,
    lags: int,
    season: int | None,
    rate: float,
    min_size: int,
    threads: int | None = None,
) -> dict[str, Any]: ...
def signal_matrix_profile(
    values: Any,
    window: int,
    other: Any | None = None,
    motifs: int = 3,
    discords: int = 3,
    threads: int | None = None,
) -> tuple[
    Floats, list[int], list[int], list[int], list[tuple[int, int, float]], list[tuple[int, int, float]]
]: ...
def signal_outliers(
    hosts: Any, method: str, expected: int, neighbours: int | None = None, least: float = 3.5
) -> tuple[list[int], list[str], Floats, float]: ...
def signal_forecast(
    values: Any,
    steps: int,
    season: int | None = None,
    confidence: float = 0.95,
    weights: list[float] | None = None,
) -> tuple[Floats, Floats, Floats, Floats, float, list[float]]: ...
def signal_rpca(
    values: Any,
    period: int,
    differences: bool | None = None,
    low_rank: float = 1.0,
    sparse: float | None = None,
) -> tuple[Floats, Floats, Floats, bool]: ...
def signal_seasonal(values: Any, period: int) -> tuple[Floats, Floats, Floats]: ...

@final
class OnlineDetector:
    """Changes of a signal as it comes in."""

    def __new__(
        cls,
        sigma: float | None = None,
        run_length: float | None = None,
        threshold: float | None = None,
        warm_up: int | None = None,
    ) -> OnlineDetector: ...
    @property
    def threshold(self) -> float: ...
    def push(self, values: Any) -> list[tuple[int, int, float, float, float]]: ...

"""Reading the next picture while the network is busy with the current one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Content = TypeVar("Content")


def read_ahead(read: Callable[[Item], Content], items: Iterable[Item]) -> Iterator[tuple[Item, Content]]:
    """Each item with what ``read`` makes of it, in order; the next item is read meanwhile, in another thread.

    What ``read`` raises is raised when the item's turn comes.
    """
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming: deque[tuple[Item, Future[Content]]] = deque()
        for item in items:
            coming.append((item, reader.submit(read, item)))
            if len(coming) > 1:
                ready, content = coming.popleft()
                yield ready, content.result()
        for ready, content in coming:
            yield ready, content.result()

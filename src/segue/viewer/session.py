"""A run that is looked at: its target pictures, predicted when they are asked for, and the decisions about them."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from segue.classes import ClassList
from segue.data.review import REVIEW_FILE, Decision, read_review, write_review
from segue.engine.domains import open_domain, training_classes
from segue.engine.experiment import load
from segue.evaluation.kept_pictures import size_within
from segue.viewer.gallery import Gallery
from segue.viewer.kept_facts import read_facts, write_facts
from segue.viewer.look import Look, look
from segue.viewer.networks import Networks, find_weights

THUMBNAIL = 240
"""The longest side of a picture in the list, in pixels."""

Found = TypeVar("Found")


class Recent(Generic[Found]):
    """What was made last, by place, so that it need not be made again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, Found] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: int, make: Callable[[int], Found]) -> Found:
        """What belongs to a place, made if it is not at hand."""
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        made = make(place)
        with self._lock:
            self._kept[place] = made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


class Session:
    """Opens no picture and reads no weights until one is asked for; threads may share it.

    Attributes:
        classes: With their colours.
        has_before: Whether there is a model to compare with.

    Raises:
        FileNotFoundError: If it is no run folder, or there is no model, or the target is not where the run's settings
            say.
        ValueError: If its settings or its review cannot be read.
    """

    def __init__(self, run: Path, device: str | None = None) -> None:
        if not (run / "experiment.yaml").is_file():
            raise FileNotFoundError(f"{run}: not a run folder; give one that `segue train` wrote")
        self.run = run
        self.device = device
        self.experiment = load(run / "experiment.yaml")
        self._weights = find_weights(run, self.experiment)
        data = self.experiment.data
        self.classes: ClassList = training_classes(data)
        self.has_before = self._weights.before is not None
        self._pictures = open_domain(data, data.target, labelled=False)
        names = [self._pictures.name(place) for place in range(len(self._pictures))]
        path = run / REVIEW_FILE
        self.gallery = Gallery(names, read_review(path) if path.is_file() else None)
        known = read_facts(run, self.key)
        self.gallery.facts = {place: known[name] for place, name in enumerate(names) if name in known}
        self._networks: Networks | None = None
        self._predicting, self._writing = threading.Lock(), threading.Lock()
        self._looks: Recent[Look] = Recent(48)
        self._thumbnails: Recent[bytes] = Recent(1000)
        self._photographs: Recent[bytes] = Recent(48)

    @property
    def key(self) -> str:
        """Changes with the networks."""
        return self._weights.key

    def content(self, place: int, kind: str) -> tuple[bytes, str]:
        """A picture's bytes and their type.

        Args:
            kind: "thumbnail", "picture", or one of the layers of :class:`Look`.

        Raises:
            LookupError: If there is no such picture, or it has no such layer.
            ValueError: If the picture cannot be read.
            OSError: The same.
        """
        if not 0 <= place < len(self.gallery.names):
            raise LookupError(place)
        if kind == "thumbnail":
            return self._thumbnails.get(place, self._thumbnail), "image/jpeg"
        if kind == "picture":
            return self._photographs.get(place, self._photograph), "image/jpeg"
        if kind not in LAYERS:
            raise LookupError(kind)
        return self.look(place).layers[kind], "image/png"

    def look(self, place: int) -> Look:
        """What the networks say of a picture, which is predicted if it was not of late."""
        with self._predicting:
            found = self._looks.get(place, self._predict)
        if place not in self.gallery.facts:
            self.gallery.facts[place] = found.facts
            self._keep()
        return found

    def measure(self, count: int, progress: Callable[[int, int], None]) -> int:
        """Measure so many pictures more, evenly spread over those not measured, and return how many there were.

        Args:
            progress: Called with the number of pictures measured and that of all to measure.
        """
        places = self.gallery.unmeasured(count)
        for number, place in enumerate(places, 1):
            with self._predicting:
                self.gallery.facts[place] = self._looks.get(place, self._predict).facts
            progress(number, len(places))
            if number % 50 == 0 or number == len(places):
                self._keep()
        return len(places)

    def decide(self, place: int, decision: Decision | None) -> None:
        """Accept or reject a picture, or take that back, and write the review."""
        with self._writing:
            self.gallery.decide(place, decision)
            write_review(self.run, self.gallery.review())

    def _predict(self, place: int) -> Look:
        if self._networks is None:
            self._networks = self._weights.load(self.device)
        return look(self._networks, self._pictures.image(place))

    def _keep(self) -> None:
        with self._writing:
            known = dict(self.gallery.facts)
            write_facts(
                self.run, self.key, {self.gallery.names[place]: known[place] for place in sorted(known)}
            )

    def _thumbnail(self, place: int) -> bytes:
        picture = self._opened(place)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        return _jpeg(picture, 80)

    def _photograph(self, place: int) -> bytes:
        picture = self._opened(place)
        size = size_within(picture.height, picture.width)
        return _jpeg(picture.resize(size, Image.Resampling.BILINEAR), 90)

    def _opened(self, place: int) -> Image.Image:
        pixels = self._pictures.image(place).permute(1, 2, 0).contiguous().numpy()
        return Image.fromarray(np.ascontiguousarray(pixels))


LAYERS = ("before", "after", "teacher", "confidence", "disagreement")
"""What the networks say of a picture, in the order in which it is offered."""


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return content.getvalue()

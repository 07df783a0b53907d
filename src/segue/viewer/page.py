"""The page of ``segue view``, in Gradio: what stands where, and what happens when something is pressed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.themes import Default

from segue.data.review import Decision
from segue.viewer import markup
from segue.viewer.gallery import MEASURES, PAGE, SHARE, Shown, Wanted
from segue.viewer.session import LAYERS, Session

CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

THEME = Default(  # without the fonts of the usual one, which browsers would fetch from elsewhere
    font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)

CHOOSES = """
element.addEventListener("click", (event) => {
  const tile = event.target.closest("[data-place]");
  if (tile) trigger("click", {place: Number(tile.dataset.place)});
});
"""

SLIDES = """
const put = () => element.querySelectorAll("input[data-sets]").forEach((input) => {
  const known = element.dataset[input.dataset.sets];
  if (known !== undefined) input.value = known;
  element.querySelector(".comparison").style.setProperty("--" + input.dataset.sets, input.value + "%");
});
element.addEventListener("input", (event) => {
  const sets = event.target.dataset.sets;
  if (!sets) return;
  element.dataset[sets] = event.target.value;
  put();
});
const drag = (event) => {
  const frame = event.target.closest(".frame");
  if (!frame || !(event.buttons & 1)) return;
  event.preventDefault();
  const box = frame.getBoundingClientRect();
  const at = (100 * (event.clientX - box.left)) / box.width;
  element.dataset.at = Math.max(0, Math.min(100, at)).toFixed(1);
  put();
};
["pointerdown", "pointermove"].forEach((name) => element.addEventListener(name, drag));
watch("value", put);
"""

_bar = gr.Progress()


class Page:
    """The page about one session; :attr:`blocks` is what a server shows."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.kinds = {
            title: kind for kind, title in markup.KINDS.items() if kind != "before" or session.has_before
        }
        with gr.Blocks(title=f"segue view {session.run.name}", analytics_enabled=False) as self.blocks:
            self.head = gr.HTML(elem_id="heading")
            self.place, self.number = gr.State(0), gr.State(0)
            with gr.Row():
                with gr.Column(scale=5, min_width=320):
                    self._filters()
                    self._list()
                with gr.Column(scale=7, min_width=320):
                    self._picture()
            self._wire()

    def _filters(self) -> None:
        orders = {
            "name": "name",
            **{title: name for name, title in MEASURES.items()},
            "share of the class": SHARE,
        }
        classes = [("any class", ""), *((name, name) for name in self.session.classes.names)]
        with gr.Row():
            self.order = gr.Dropdown(
                list(orders.items()),
                value="name",
                label="order, largest first",
                elem_id="order",
                min_width=140,
            )
            self.shows = gr.Dropdown(classes, value="", label="shows", elem_id="shows", min_width=140)
            self.decided = gr.Dropdown(
                ["all", "undecided", "accepted", "rejected"], value="all", label="decided", elem_id="decided",
                min_width=140,
            )  # fmt: skip
        with gr.Row():
            self.least = gr.Slider(0, 100, value=0, step=0.5, label="at least, %", elem_id="least")
            self.text = gr.Textbox(label="name contains", elem_id="text", max_lines=1)

    def _list(self) -> None:
        self.tiles = gr.HTML(elem_id="tiles", js_on_load=CHOOSES)
        with gr.Row():
            self.back = gr.Button("← page", elem_id="back", size="sm", min_width=60)
            self.counted = gr.HTML(elem_id="counted", min_width=100)
            self.forth = gr.Button("page →", elem_id="forth", size="sm", min_width=60)
        with gr.Row():
            self.count = gr.Number(
                50, label="pictures", precision=0, minimum=1, elem_id="count", min_width=100
            )
            self.more = gr.Button("Measure more", elem_id="more", min_width=140)

    def _picture(self) -> None:
        right = [(title, kind) for title, kind in self.kinds.items()]
        with gr.Row():
            first = "before" if self.session.has_before else "picture"
            self.left = gr.Dropdown(right, value=first, label="left", elem_id="left", min_width=120)
            self.right = gr.Dropdown(right, value="after", label="right", elem_id="right", min_width=120)
        self.compared = gr.HTML(elem_id="compared", js_on_load=SLIDES)
        with gr.Row():
            self.previous = gr.Button("←", elem_id="previous", min_width=50)
            self.accept = gr.Button("Accept", variant="primary", elem_id="accept", min_width=90)
            self.reject = gr.Button("Reject", variant="stop", elem_id="reject", min_width=90)
            self.undo = gr.Button("Undecide", elem_id="undo", min_width=90)
            self.following = gr.Button("→", elem_id="following", min_width=50)
        self.facts = gr.HTML(elem_id="facts")

    def _wire(self) -> None:
        asked = [self.order, self.least, self.shows, self.decided, self.text]
        state = [*asked, self.number, self.place, self.left, self.right]
        listed = [self.head, self.tiles, self.counted, self.number]
        everything = [*listed, self.compared, self.facts, self.place]
        # The list needs no prediction, so that it does not wait for one.
        self.blocks.load(self._anew, state, listed).then(self._everything, state, everything)
        for one in asked:
            one.change(self._anew, state, listed)
        self.back.click(self._turned(-1), state, listed)
        self.forth.click(self._turned(1), state, listed)
        self.tiles.click(self._chosen, state, everything)
        for side in (self.left, self.right):
            side.change(self._everything, state, everything)
        self.previous.click(self._moved(-1), state, everything)
        self.following.click(self._moved(1), state, everything)
        decisions: list[tuple[Any, Decision | None]] = [
            (self.accept, "accepted"), (self.reject, "rejected"), (self.undo, None),
        ]  # fmt: skip
        for button, decision in decisions:
            button.click(self._decided(decision), state, everything)
        self.more.click(self._measured, [self.count, *state], listed)

    def _listed(self, wanted: Wanted, number: int, place: int) -> list[Any]:
        """The heading, the tiles, the line below them, and the page's number."""
        gallery, key = self.session.gallery, self.session.key
        places, number, total = gallery.page(wanted, number)
        first = number * PAGE + 1
        counted = f"{first} to {number * PAGE + len(places)} of {total:,}" if places else "none"
        return [
            markup.heading(self.session.run.resolve().name, gallery),
            markup.tiles(gallery, places, wanted, current=place, key=key),
            counted,
            number,
        ]

    def _shown(self, place: int, left: str, right: str) -> list[Any]:
        """The comparison, what is known of the picture, and its place."""
        gallery = self.session.gallery
        try:
            found = self.session.look(place)
        except (OSError, ValueError) as error:
            raise gr.Error(" ".join(str(error).split())) from None
        left, right = (
            kind if kind not in LAYERS or kind in found.layers else "picture" for kind in (left, right)
        )
        compared = markup.comparison(place, gallery.names[place], left, right, key=self.session.key)
        return [compared, markup.facts(gallery, place, self.session.classes), place]

    def _everything(self, *state: Any) -> list[Any]:
        wanted, number, place, left, right = _read(state)
        shown = self._shown(place, left, right)
        return [*self._listed(wanted, number, place), *shown]

    def _anew(self, *state: Any) -> list[Any]:
        wanted, _, place, _, _ = _read(state)
        return self._listed(wanted, 0, place)

    def _turned(self, step: int) -> Callable[..., list[Any]]:
        def turned(*state: Any) -> list[Any]:
            wanted, number, place, _, _ = _read(state)
            return self._listed(wanted, number + step, place)

        return turned

    def _chosen(self, event: gr.EventData, *state: Any) -> list[Any]:
        wanted, number, _, left, right = _read(state)
        place = int(event.place)
        return [*self._listed(wanted, number, place), *self._shown(place, left, right)]

    def _moved(self, step: int) -> Callable[..., list[Any]]:
        def moved(*state: Any) -> list[Any]:
            wanted, number, place, left, right = _read(state)
            place = self.session.gallery.next_to(place, wanted, step)
            return [*self._listed(wanted, number, place), *self._shown(place, left, right)]

        return moved

    def _decided(self, decision: Decision | None) -> Callable[..., list[Any]]:
        """Decides, and goes on to the next picture of the list as it was; taking back stays where it is."""

        def decided(*state: Any) -> list[Any]:
            wanted, number, place, left, right = _read(state)
            following = place if decision is None else self.session.gallery.next_to(place, wanted)
            self.session.decide(place, decision)
            return [*self._listed(wanted, number, following), *self._shown(following, left, right)]

        return decided

    def _measured(self, progress: Any = _bar, *state: Any) -> list[Any]:
        count, *asked = state
        wanted, _, place, _, _ = _read(asked)
        try:
            self.session.measure(
                int(count or 1), lambda done, total: progress((done, total), desc="measuring")
            )
        except (OSError, ValueError) as error:
            raise gr.Error(" ".join(str(error).split())) from None
        return self._listed(wanted, 0, place)


def _read(state: Sequence[Any]) -> tuple[Wanted, int, int, str, str]:
    """What is asked for, the page of the list, the picture, and the two sides."""
    order, least, shows, decided, text, number, place, left, right = state
    wanted = Wanted(str(order), float(least or 0) / 100, shows or None, cast(Shown, decided), str(text or ""))
    return wanted, int(number), int(place), str(left), str(right)

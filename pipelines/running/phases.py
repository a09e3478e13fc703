"""A phase of a run in the words of whoever waits for it: one line that fits, while it goes on and when it has ended."""

from __future__ import annotations

from curation.escape import terminal
from pipelines.running.events import Advanced, PhaseStarted

RATE_SECONDS = 5.0
"""A rate is said from here on, be it none; before that where there is one."""
COMPILING = "compiling text kernels, once on this machine (about a minute)"
_DOING = {"dedup": "finding duplicates", "select": "choosing"}
_STEPS = {"decide": "deciding", "write": "writing"}


def title(phase: PhaseStarted) -> str:
    """What is being done: `scoring language, quality`, `finding duplicates (exact)`, `deciding`, `writing`."""
    return terminal(_title(phase))


def _title(phase: PhaseStarted) -> str:
    if phase.step == "score":
        steps = phase.name.removeprefix("score ").split(" + ")
        return f"scoring {', '.join(steps[1:] or steps)}"  # the first is the input's own
    if phase.family in _DOING:
        return f"{_DOING[phase.family]} ({phase.stage})"
    if phase.step == "fit":
        return f"fitting {phase.stage}"
    return _STEPS.get(phase.step, phase.name)


def line(phase: PhaseStarted, state: Advanced | None, seconds: float, width: int) -> str:
    """A line of at most `width` characters: what is being done, how far it is and how fast. What does not fit is left
    out, the less needed first, and the title is cut."""
    if state is not None and state.drains is not None:
        return _cut(stopping(phase, state, state.drains), width)
    facts = _facts(phase, state, seconds, short=True)
    doing = title(phase)
    if state is not None and (state.compiling or state.loading):
        facts, doing = facts[:2], COMPILING if state.compiling else _loading(state)
    while len(facts) > 2 and len(doing) + sum(len(fact) + 2 for fact in facts) > width:
        facts.pop()
    text = "  ".join(facts)
    doing = _cut(doing, width - len(text) - 2)
    room = width - len(doing) - len(text) - 4
    bar = _bar(state, min(room, 24)) if room >= 8 and phase.total else ""
    return "  ".join(part for part in (doing, bar, text) if part)[:width]


def sentence(phase: PhaseStarted, state: Advanced | None, seconds: float) -> str:
    """The same for a log, with nothing left out."""
    if state is not None and state.drains is not None:
        return stopping(phase, state, state.drains)
    if state is not None and (state.compiling or state.loading):
        return f"{title(phase)}: {'still compiling text kernels' if state.compiling else _loading(state)}"
    if not phase.total and seconds < RATE_SECONDS:
        return title(phase)
    return f"{title(phase)}: {', '.join(_facts(phase, state, seconds, short=False))}"


def ended(phase: PhaseStarted, state: Advanced | None, seconds: float) -> str:
    """What is said of a phase once it has ended."""
    from pipelines.tables.human import duration  # brings Arrow

    facts = []
    if phase.step == "score" and state is not None:
        documents = state.documents or 0
        facts.append(f"{documents:,} document{'' if documents == 1 else 's'}")
        if seconds >= 1 and state.documents:
            facts.append(f"{rate(state.documents / seconds)}/s")
        if state.tokens:
            facts.append(f"{rate(state.tokens / seconds)} tokens/s")
        if state.kept is not None:
            facts.append(f"{state.kept:.0%} kept")
    elif phase.step in ("", "fit", "write") and phase.total > 1:
        facts.append(f"{phase.total:,} {'files' if phase.step == 'write' else 'done'}")
    return f"{title(phase)}: {', '.join([*facts, duration(seconds)])}"


def stopping(phase: PhaseStarted, state: Advanced | None, seconds: float) -> str:
    """After an interrupt. Only what is scored comes by a batch again and again where it can be given up."""
    what = "units under way finish"
    if state is not None:
        what = f"{state.under_way} unit{'s finish' if state.under_way != 1 else ' finishes'}"
    limit = f", at most {seconds:.0f} s" if phase.step == "score" else ""
    return f"stopping: {what}{limit}; press again to stop now"


def rate(value: float) -> str:
    """Three digits are enough, and never more than seven characters."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}M"
    if value >= 1e4:
        return f"{value / 1e3:.1f}k"
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.2g}"


def _loading(state: Advanced) -> str:
    """A step's name is `stage` or `stage/requirement`."""
    return f"opening what {', '.join(sorted({step.partition('/')[0] for step in state.working}))} needs"


def _facts(phase: PhaseStarted, state: Advanced | None, seconds: float, short: bool) -> list[str]:
    """How far, how fast, and what else there is to say, the most needed first."""
    from pipelines.tables.human import duration  # brings Arrow, which a run's first line does not wait for

    if state is None or state.to_score is None:
        if not phase.total:  # what comes before a run
            return [duration(round(seconds))]
        done = 0 if state is None else state.units
        facts = [f"{done:,}{'/' if short else ' of '}{phase.total:,}", duration(round(seconds))]
    else:
        about = "" if state.exact else "~"
        documents = "docs" if short else "documents"
        facts = [f"{state.documents or 0:,}{'/' if short else ' of '}{about}{state.to_score:,} {documents}"]
        if state.documents_per_second or seconds >= RATE_SECONDS:
            facts.append(f"{rate(state.documents_per_second or 0.0)}/s")
        if state.seconds_left is not None:
            facts.append(f"{duration(round(state.seconds_left))} left")
    if state is not None and state.tokens_per_second is not None:
        facts.append(f"{rate(state.tokens_per_second)} {'tok' if short else 'tokens'}/s")
    if state is not None and state.kept is not None:
        facts.append(f"{state.kept:.0%} kept")
    return facts


def _bar(state: Advanced | None, width: int) -> str:
    if state is None:
        share = 0.0
    elif state.to_score is None:
        share = state.units / max(state.total, 1)
    else:
        share = (state.documents or 0) / max(state.to_score, 1)
    done = round(min(share, 1.0) * width)
    return "━" * done + "╌" * (width - done)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"

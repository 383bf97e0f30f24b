"""The page File: many records at once, each row checked, predicted part by part, and given back as a file."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import pandas as pd
import streamlit as st

import lookups
import panels
import sheets
import upload
from client import ApiError, Problem
from form import CoverClass, Form
from texts import Texts, plain
from upload import Outcome, RowFault, Unreadable, Upload
from views.predict import class_name, known_form, name_of

# So many rows go with one call: the bar moves, and little is lost with a call that fails.
ROWS_A_CALL = 1_000
# More of them are for the download.
FAULTS_SHOWN = 20


@dataclass
class Run:
    """The predictions of one file so far. It goes on where it stands, whatever stopped it."""

    upload: Upload
    outcomes: list[Outcome] = field(default_factory=list)
    going: bool = False
    problem: Problem | None = None

    @property
    def finished(self) -> bool:
        """Whether every good row has its answer."""
        return len(self.outcomes) == len(self.upload.rows)


def show(t: Texts) -> None:
    """Draw the page: the template, the file, what is wrong with it, its predictions."""
    sheets.style()
    st.title(t("file.title"), anchor=False)
    st.markdown(t("file.intro"))
    with st.container(key="schema_state"):
        form = known_form(t)
    if form is None:
        return
    draw_upload(t, form)
    refused: Unreadable | None = st.session_state.get("unreadable")
    run: Run | None = st.session_state.get("run")
    if refused is not None:
        names = plain(refused.names)
        words = t(f"file_problem.{refused.key}", names=names, most=t.whole(upload.MOST_ROWS))
        st.error(words, icon=":material/draft:")
    elif run is not None:
        draw_faults(t, run.upload)
        draw_run(t, form, run)


def draw_upload(t: Texts, form: Form) -> None:
    """The template and the place for a file."""
    with st.container(border=True, key="upload_box"):
        st.file_uploader(
            t("file.upload", megabytes=upload.MOST_MEGABYTES, rows=t.whole(upload.MOST_ROWS)),
            type=["csv", "parquet"],
            max_upload_size=upload.MOST_MEGABYTES,
            help=t("file.upload_help"),
            on_change=take,
            key="upload",
        )
        st.download_button(
            t("file.template"),
            upload.template(form),
            file_name="covertype-template.csv",
            mime="text/csv",
            icon=":material/download:",
            help=t("file.template_help"),
            on_click="ignore",
            type="tertiary",
            key="template",
        )
    # The uploader's own words are English in every language; page.css puts this one in their place.
    st.html(f"<style>.st-key-upload {{ --browse: {json.dumps(t('file.browse'))} }}</style>")
    uploaded = st.session_state.pop("to_read", None)
    # Always there, so that what follows keeps its place in the browser.
    with st.container(key="reading"):
        if uploaded is not None:
            with st.spinner(t("file.reading")):
                read(uploaded.name, uploaded.getvalue(), form)


def take() -> None:
    """On another file, or none: what was known of the one before is over."""
    st.session_state["run"] = st.session_state["unreadable"] = None
    st.session_state["to_read"] = st.session_state["upload"]


def read(name: str, content: bytes, form: Form) -> None:
    """Keep what the file holds, or why it cannot be used."""
    try:
        st.session_state["run"] = Run(upload.read(name, content, form))
    except Unreadable as error:
        st.session_state["unreadable"] = error


def draw_faults(t: Texts, read: Upload) -> None:
    """How many rows are good, and each bad one with its reasons."""
    good = t.whole(len(read.rows))
    if not read.faulty_rows:
        st.success(t("file.all_good", name=plain(read.name), rows=good), icon=":material/check_circle:")
        return
    bad = t.whole(read.faulty_rows)
    st.warning(t("file.some_bad", name=plain(read.name), rows=good, bad=bad), icon=":material/rule:")
    header = [t("file.row"), t("file.column"), t("file.found"), t("file.reason")]
    lines = [fault_line(t, fault) for fault in read.faults]
    with st.container(border=True, key="row_faults"):
        st.header(t("file.faults"), anchor=False)
        cells = [[sheets.Cell(str(word)) for word in line] for line in lines[:FAULTS_SHOWN]]
        sheets.show_table(t("file.faults"), header, cells)
        if len(lines) > FAULTS_SHOWN:
            st.caption(t("file.faults_cut", shown=FAULTS_SHOWN, count=t.whole(len(lines))))
        st.download_button(
            t("file.faults_download"),
            lambda: upload.written(header, lines),
            file_name=f"{PurePath(read.name).stem}-faults.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
            key="faults_download",
        )


def fault_line(t: Texts, found: RowFault) -> tuple[int, str, str, str]:
    """A fault as a line of the list."""
    reason = t(f"row_fault.{found.fault.key}", **found.fault.values)
    return found.row, name_of(t, found.column) if found.column else "", found.entry, reason


def draw_run(t: Texts, form: Form, run: Run) -> None:
    """The button, the progress, and all that is there so far."""
    if not run.upload.rows:
        st.info(t("file.none_good"), icon=":material/info:")
        return
    done, all_rows = len(run.outcomes), len(run.upload.rows)
    with st.container(key="run"):
        if run.problem is not None:
            panels.show_problem(t, run.problem)
        if done and not (run.going or run.finished):
            st.info(t("file.kept", done=t.whole(done), rows=t.whole(all_rows)), icon=":material/save:")
        if run.going:
            draw_button(t("file.pause"), "pause", pause, run)
            work(t, run)
            st.rerun()
        elif not run.finished:
            words = "file.go_on" if done else "file.start"
            draw_button(t(words, rows=t.whole(all_rows - done)), "forest", start, run)
    if done:
        draw_outcomes(t, form, run)


def draw_button(words: str, icon: str, on_click: Callable[[Run], None], run: Run) -> None:
    """The one button of a run: under another key the browser would keep the one before in sight."""
    st.button(words, type="primary", icon=f":material/{icon}:", on_click=on_click, args=(run,), key="go")


def start(run: Run) -> None:
    """On the press of the button: go on."""
    run.going, run.problem = True, None


def pause(run: Run) -> None:
    """On the press of the button: stop after the call that is on its way."""
    run.going = False


def work(t: Texts, run: Run) -> None:
    """Ask for one part after another until all rows are answered or a call fails."""
    all_rows = len(run.upload.rows)
    bar = st.progress(0.0)
    while run.going and not run.finished:
        done = len(run.outcomes)
        bar.progress(done / all_rows, text=t("file.progress", done=t.whole(done), rows=t.whole(all_rows)))
        try:
            predictions = lookups.api().predict_all(run.upload.records(done, done + ROWS_A_CALL))
        except ApiError as error:
            run.going, run.problem = False, error.problem
        else:
            run.outcomes += [upload.outcome_of(prediction) for prediction in predictions]
    run.going = False


def draw_outcomes(t: Texts, form: Form, run: Run) -> None:
    """Table, chart of classes, agreement with the file's own classes, download."""
    outcomes = run.outcomes
    with st.container(border=True, key="outcomes"):
        st.header(t("file.outcomes"), anchor=False)
        draw_summary(t, run)
        draw_classes(t, form.classes, outcomes)
        st.caption(t("file.table"))
        st.dataframe(
            table(t, run),
            hide_index=True,
            height=min(36 * (len(outcomes) + 1) + 2, 400),
            column_config={
                t("result.probability"): st.column_config.NumberColumn(format="percent"),
            },
            alt=t("file.table"),
        )
        st.download_button(
            t("file.download", rows=t.whole(len(outcomes))),
            lambda: upload.with_answers(run.upload, outcomes),
            file_name=f"{PurePath(run.upload.name).stem}-predictions.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            type="primary",
            key="download",
        )


def draw_summary(t: Texts, run: Run) -> None:
    """How many rows, by which version, and how many of them as the file has it."""
    versions = sorted({outcome.model_version for outcome in run.outcomes})
    with st.container(horizontal=True):
        st.metric(t("file.rows"), t.whole(len(run.outcomes)), width=140)
        st.metric(t("file.version"), ", ".join(versions), width=140)
        if run.upload.has_truth:
            judged = [
                row.truth == outcome.label
                for row, outcome in zip(run.upload.rows, run.outcomes, strict=False)
                if row.truth is not None
            ]
            share = t.percent(sum(judged) / len(judged)) if judged else t("unknown")
            st.metric(t("file.agreement"), share, help=t("file.agreement_help"), width=170)


def draw_classes(t: Texts, classes: Sequence[CoverClass], outcomes: Sequence[Outcome]) -> None:
    """How often each class was predicted."""
    counts = Counter({item.label: 0 for item in classes})
    counts.update(outcome.label for outcome in outcomes)
    bars = [
        panels.Bar(
            class_name(t, label),
            count / len(outcomes),
            t.whole(count),
        )
        for label, count in counts.most_common()
    ]
    told = ", ".join(f"{bar.name} {bar.words}" for bar in bars)
    st.caption(t("file.chart"))
    panels.bars(bars, None, t("result.kind"), t("file.rows"), t("file.chart_alt", bars=told))


def table(t: Texts, run: Run) -> pd.DataFrame:
    """The answers beside the features, a line a row."""
    rows = run.upload.rows[: len(run.outcomes)]
    shown = {
        t("file.row"): [row.number for row in rows],
        t("result.kind"): [class_name(t, outcome.label) for outcome in run.outcomes],
        t("result.probability"): [outcome.probability for outcome in run.outcomes],
    }
    if run.upload.has_truth:
        shown[t("file.truth")] = [class_name(t, row.truth) if row.truth else None for row in rows]
    for place, column in enumerate(run.upload.columns):
        shown[name_of(t, column)] = [row.features[place] for row in rows]
    return pd.DataFrame(shown)

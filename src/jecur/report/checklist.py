"""What two reporting guidelines ask for, and what of it this report holds.

The items are those of TRIPOD+AI (Collins et al., BMJ 385, e078378, 2024) and REMARK (McShane et al.,
J. Natl. Cancer Inst. 97, 1180-1184, 2005), each in our own words and shortened; read the originals
before submitting. An answer is worked out from the content at hand: what a program cannot know is
left to the authors, and is never "yes".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jecur.report.content import ReportContent
from jecur.report.tables.table import Column, Table
from jecur.statistics.results import CLASSIFIER, StudyStatistics

__all__ = ["Answer", "checklist_lead", "checklist_table"]

State = Literal["yes", "in part", "no", "authors"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a report holds of one item."""

    state: State
    where: str = ""
    """Title of the section."""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a guideline."""

    guideline: Literal["TRIPOD+AI", "REMARK"]
    number: str
    asked: str
    answer: Callable[[ReportContent], Answer]


def checklist_table(content: ReportContent) -> Table:
    """Answer every item from the content of a report."""
    words = {"yes": "yes", "in part": "in part", "no": "no", "authors": "for the authors"}
    columns = (
        Column("guideline", "Guideline", "text", lambda row: row[0].guideline, once=True),
        Column("item", "Item", "text", lambda row: row[0].number),
        Column("asked", "Asked for", "text", lambda row: row[0].asked),
        Column("given", "Given", "text", lambda row: words[row[1].state]),
        Column("where", "Where", "text", lambda row: row[1].where),
        Column("missing", "What is missing", "text", lambda row: row[1].missing),
    )
    rows = [(item, item.answer(content)) for item in _ITEMS]
    note = "Items in our own words; the originals say more."
    return Table.of("checklist", "TRIPOD+AI and REMARK", columns, rows, note)


def checklist_lead(table: Table) -> str:
    """Count the answers in a sentence."""
    answers = [str(row[3]) for row in table.rows]
    counts = {word: answers.count(word) for word in ("yes", "in part", "no", "for the authors")}
    return (
        f"{len(answers)} items of two reporting guidelines: {counts['yes']} given here, "
        f"{counts['in part']} in part, {counts['no']} not given, {counts['for the authors']} that "
        "only the authors can answer."
    )


def _authors(missing: str) -> Callable[[ReportContent], Answer]:
    return lambda _: Answer("authors", "", missing)


def _if(
    there: Callable[[ReportContent], bool], where: str, missing: str, rest: str = ""
) -> Callable[[ReportContent], Answer]:
    """Answer yes (in part, if ``rest`` is still missing) where something is there, no elsewhere."""

    def answer(content: ReportContent) -> Answer:
        if not there(content):
            return Answer("no", "", missing)
        return Answer("in part", where, rest) if rest else Answer("yes", where)

    return answer


def _of(check: Callable[[StudyStatistics], bool]) -> Callable[[ReportContent], bool]:
    return lambda content: content.of_one_model is not None and check(content.of_one_model)


def _has_methods(content: ReportContent) -> bool:
    return content.settings is not None or bool(content.methods)


def _trained_here(content: ReportContent) -> bool:
    return content.settings is not None and bool(content.model_card)


def _cutoff(content: ReportContent) -> Answer:
    if content.of_one_model is None:
        return Answer("no", "", "no risks were evaluated")
    if not content.cutoff_locked:
        return Answer(
            "in part", "head of the report", "a cut-off fixed before these patients were seen"
        )
    return Answer("yes", "Risks and the cut-off" if content.risks else "head of the report")


def _performance(content: ReportContent) -> Answer:
    statistics = content.of_one_model
    if statistics is None or statistics.concordance.estimate is None:
        return Answer("no", "", "discrimination is not estimable")
    lacking = []
    if statistics.calibration.brier is None:
        lacking.append("calibration (the score is no probability, or it is not estimable)")
    if not statistics.stratified:
        lacking.append("performance in subgroups")
    where = "Discrimination, Time-dependent AUC, Calibration"
    return Answer("in part" if lacking else "yes", where, "; ".join(lacking))


def _missing_values(content: ReportContent) -> Answer:
    if not content.flow:
        return Answer("no", "", "how many patients lacked which value")
    return Answer(
        "in part",
        "Patients, Univariable Cox regression",
        "patients with a missing value leave the model that needs it; say why no imputation",
    )


def _sample(content: ReportContent) -> Answer:
    if content.of_one_model is None:
        return Answer("no", "", "number of patients and events")
    n, events = content.of_one_model.n, content.of_one_model.events
    return Answer("in part", "head of the report", f"why {n} patients and {events} events suffice")


def _model(content: ReportContent) -> Answer:
    if content.model_card:
        return Answer("yes", "Model card")
    return Answer("authors", "", "the model that made the scores: not known to this program")


def _multivariable(content: ReportContent) -> Answer:
    statistics = content.of_one_model
    if statistics is None or statistics.multivariable.reason is not None:
        return Answer("no", "", "a model of the classifier beside clinical factors")
    model = statistics.multivariable
    if CLASSIFIER not in model.covariates:
        return Answer("no", "", "the classifier is not in the model: it has no coefficient there")
    if len(model.covariates) < 2:
        return Answer("no", "", "no clinical factor entered beside the classifier")
    if model.left_out:
        missing = f"factors left out, some by p-value: {len(model.left_out)}; take all to be safe"
        return Answer("in part", "Multivariable Cox regression", missing)
    return Answer("yes", "Multivariable Cox regression")


def _all_factors(content: ReportContent) -> Answer:
    """REMARK 17: the marker beside the standard factors, whatever their p-values."""
    found = _multivariable(content)
    if found.state == "yes":
        return found
    return Answer(found.state, found.where, found.missing)


def _assumptions(content: ReportContent) -> Answer:
    statistics = content.of_one_model
    if statistics is None or statistics.proportional_hazards.p is None:
        return Answer("no", "", "a check of the model's assumptions")
    return Answer(
        "in part",
        "Event-free survival by risk group, Subgroup analysis",
        "sensitivity analyses of your own",
    )


def _relation(content: ReportContent) -> Answer:
    if content.baseline is None:
        return Answer("no", "", "clinical factors by risk group")
    return Answer("yes", "Patients")


_FLOW = _if(lambda c: bool(c.flow), "Patients", "the flow of patients")
_ENDPOINT = _if(
    lambda c: bool(c.endpoint_definition), "Endpoint", "the definition",
    "how and how often recurrence was looked for",
)  # fmt: skip
_METHODS = _if(_has_methods, "Methods", "the statistical methods")
_BASELINE = _if(
    lambda c: c.baseline is not None, "Patients", "no covariate was given, so nobody is described"
)
_UNIVARIABLE = _if(
    _of(lambda s: bool(s.univariable)),
    "Univariable Cox regression, Event-free survival by risk group",
    "no factor given",
)
_COUNTS = _if(_of(lambda s: s.n > 0), "head of the report, every table", "numbers and events")
_LIMITS = _if(
    lambda c: bool(c.limits), "Limits", "limits", "what limits this study beyond the general list"
)
_TRAINING = _if(_trained_here, "Methods, Model card", "how the model was built is not known here")
_SOFTWARE = _if(
    lambda c: bool(c.facts),
    "How this report was made",
    "versions",
    "where your own code can be had",
)

_TRIPOD: tuple[tuple[str, str, Callable[[ReportContent], Answer]], ...] = (
    ("1", "A title that says what was developed or evaluated, in whom, for which outcome",
     _authors("title of the paper")),
    ("2", "A structured abstract", _authors("abstract")),
    ("3a", "The clinical setting and why a model is wanted", _authors("rationale")),
    ("3b", "For whom and by whom the model would be used", _authors("target population and users")),
    ("3c", "Known inequalities in care between groups", _authors("inequalities")),
    ("4", "Whether the model is developed, evaluated, or both", _authors("aims")),
    ("5a", "Where the data come from, and how representative they are",
     _authors("source of the cohort")),
    ("5b", "Dates of accrual and of the end of follow-up", _authors("dates")),
    ("6a", "Kind and number of centers", _authors("centers")),
    ("6b", "Who could enter", _if(lambda c: bool(c.flow), "Patients", "reasons for leaving",
                                  "your criteria before the table was made")),
    ("6c", "Treatment received", _authors("treatment")),
    ("7", "How data were prepared and checked", _METHODS),
    ("8a", "The outcome, its definition and time horizon", _ENDPOINT),
    ("8b", "Who judged the outcome", _authors("assessors of the outcome")),
    ("8c", "Whether they were blinded", _authors("blinding")),
    ("9a", "How predictors were chosen", _TRAINING),
    ("9b", "How predictors were measured", _METHODS),
    ("9c", "Who judged predictors that need judgment", _authors("assessors of predictors")),
    ("10", "How the sample size was arrived at", _sample),
    ("11", "What was done about missing values", _missing_values),
    ("12a", "How data were divided for development and evaluation", _FLOW),
    ("12b", "How predictors were coded in the analysis", _METHODS),
    ("12c", "Kind of model and every step of building it", _TRAINING),
    ("12d", "Whether results may differ between centers", _authors("differences between centers")),
    ("12e", "Measures of performance", _METHODS),
    ("12f", "Changes made to the model after evaluation", _authors("updating, if any")),
    ("12g", "How predictions of an evaluated model were computed", _model),
    ("13", "What was done about rare outcomes", _authors("class imbalance")),
    ("14", "What was done for fairness between groups",
     _if(_of(lambda s: bool(s.stratified)), "Subgroup analysis", "results by group",
         "which groups matter, and why")),
    ("15", "What the model puts out, and how groups are made of it", _cutoff),
    ("16", "How training and evaluation data differ", _authors("differences between the data sets")),
    ("17", "Ethical approval and consent", _authors("approval")),
    ("18a", "Funding", _authors("funding")),
    ("18b", "Conflicts of interest", _authors("conflicts")),
    ("18c", "Where the protocol can be read", _authors("protocol")),
    ("18d", "Registration", _authors("registration")),
    ("18e", "Whether the data can be had", _authors("data")),
    ("18f", "Whether the code can be had", _SOFTWARE),
    ("19", "Part that patients and the public had", _authors("involvement")),
    ("20a", "The flow of patients, with events", _FLOW),
    ("20b", "Who they were, with missing values", _BASELINE),
    ("20c", "How they differ from the development data", _authors("comparison")),
    ("21", "Patients and events in every analysis", _COUNTS),
    ("22", "The full model, so that others can use it", _model),
    ("23a", "Performance with intervals, in subgroups too", _performance),
    ("23b", "Performance by center", _authors("results by center")),
    ("24", "Results of updating", _authors("updating, if any")),
    ("25", "What the results mean beside other studies", _authors("interpretation")),
    ("26", "Limits of the study", _LIMITS),
    ("27a", "What happens with poor or missing input",
     _if(lambda c: bool(c.slides), "Slides left out and flagged", "input quality is not known")),
    ("27b", "What a user must do and know", _authors("use in practice")),
    ("27c", "What comes next", _authors("further research")),
)  # fmt: skip

_REMARK: tuple[tuple[str, str, Callable[[ReportContent], Answer]], ...] = (
    ("1", "The marker, the aims, and hypotheses stated before", _authors("hypotheses")),
    ("2", "The patients, where from and who could enter", _if(
        lambda c: c.baseline is not None, "Patients", "who was studied", "source and criteria")),
    ("3", "Treatment and how it was chosen", _authors("treatment")),
    ("4", "The tissue, how it was kept and handled", _authors("specimens")),
    ("5", "How the marker was measured, blinded to outcome", _model),
    ("6", "Design, period and median follow-up", _if(
        _of(lambda s: s.median_follow_up.estimate is not None), "head of the report",
        "median follow-up", "design and period")),
    ("7", "Every endpoint, defined", _ENDPOINT),
    ("8", "All variables looked at", _UNIVARIABLE),
    ("9", "Why this sample size", _sample),
    ("10", "Every statistical method, selection of variables, missing data", _METHODS),
    ("11", "How marker values were handled, and where cut-offs come from", _cutoff),
    ("12", "Flow of patients through each stage, with events", _FLOW),
    ("13", "Distribution of basic factors and of the marker, with missing values", _BASELINE),
    ("14", "The marker beside standard factors", _relation),
    ("15", "Each factor alone: effect, interval, survival curves of the marker", _UNIVARIABLE),
    ("16", "The marker in a multivariable model, with intervals", _multivariable),
    ("17", "The marker beside all standard factors, whatever their significance", _all_factors),
    ("18", "Checks of assumptions, sensitivity, internal validation", _assumptions),
    ("19", "What the results mean, and limits", _LIMITS),
    ("20", "What follows for research and practice", _authors("implications")),
)  # fmt: skip

_ITEMS = (
    *(Item("TRIPOD+AI", *row) for row in _TRIPOD),
    *(Item("REMARK", *row) for row in _REMARK),
)

"""Words written from settings: how it was done, what to keep in mind, where to find what."""

from dataclasses import dataclass

from jecur.printable import counted
from jecur.settings import (
    StainSettings,
    StatisticsSettings,
    StudySettings,
    TilingSettings,
    TrainingSettings,
)

__all__ = [
    "LIMITS",
    "SCORE_LIMITS",
    "Paragraph",
    "evaluation_paragraphs",
    "methods_paragraphs",
]

LIMITS = (
    "No honest prognostic weights for patients ship with this software: nobody has published a "
    "model of this kind with its weights and a license. The model used here was trained on the "
    "cohort named in its card and is only as good as that cohort.",
    "Research use only. This is no medical device; no treatment should be chosen by it.",
    "A risk between 0 and 1 orders patients. It is a probability of the event only as far as the "
    "calibration in this report shows.",
    "A hazard ratio is one number for the whole follow-up. Where the hazards are not "
    "proportional (see the test beside each model) it is an average over time.",
    "Few patients are followed to the late horizons. Read each number there with its number at "
    "risk.",
    "Tiles of one patient are not independent of each other, nor are patients of one hospital: "
    "staining, scanner and treatment travel together with outcome.",
    "A comparison that is not significant does not show that there is no difference.",
)

SCORE_LIMITS = (
    "The scores were made elsewhere. Whether their model, its cut-off or its direction was chosen on "
    "these very patients cannot be seen here; if so, every number is too good.",
    *LIMITS[1:],
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One topic of the methods."""

    heading: str
    text: str


def methods_paragraphs(settings: StudySettings, *, n_features: int = 0) -> tuple[Paragraph, ...]:
    """Write the methods as they were carried out, from the settings.

    Parameters
    ----------
    settings
        Of the study.
    n_features
        Numbers a tile, where another network described the tiles; 0 where Jecur cut them.

    Returns
    -------
    tuple of Paragraph
        Tissue and tiles; color; nuclei; risk; training; statistics.
    """
    training = (
        Paragraph("Risk", _risk(settings.training, n_features)),
        Paragraph("Training", _training(settings.training)),
        *_statistics_paragraphs(settings.statistics),
    )
    if n_features:
        return (Paragraph("Tiles", _FEATURES.format(n=f"{n_features:,}")), *training)
    return (
        Paragraph("Tissue and tiles", _tiles(settings)),
        Paragraph("Color", _color(settings.stain)),
        Paragraph("Nuclei", _nuclei(settings)),
        *training,
    )


_FEATURES = (
    "Another network had described the tiles of each slide, {n} numbers a tile. How they were cut, "
    "colored and described is for whoever made them to say."
)


def evaluation_paragraphs(
    statistics: StatisticsSettings, rule: str, meaning: str
) -> tuple[Paragraph, ...]:
    """Write the methods of an evaluation of given scores.

    Parameters
    ----------
    statistics
        As they were used.
    rule
        How the groups were made.
    meaning
        "probability", "score" or "group".
    """
    read = {
        "probability": "It was read as the probability of the event by "
        f"{statistics.landmark_months:g} months.",
        "score": "It orders patients and is no probability, so calibration, Brier score and decision "
        "curve are not given.",
        "group": "It has two values; whatever needs a continuous score is that of the two groups.",
    }
    return (
        Paragraph("Score", f"One score a patient was given in a table. {rule} {read[meaning]}"),
        *_statistics_paragraphs(statistics),
    )


def _tiles(settings: StudySettings) -> str:
    tiling: TilingSettings = settings.tiling
    tissue = settings.tissue
    drawn = (
        f"At most {tiling.max_tiles} tiles of a slide were drawn at random (seed {tiling.seed}). "
        if tiling.max_tiles
        else "All tiles were kept. "
    )
    overlap = f", overlapping by {tiling.overlap_um:g} µm" if tiling.overlap_um else ""
    return (
        f"Tissue was found on an overview at {tissue.overview_um_per_px:g} µm per pixel; specks "
        f"below {tissue.min_area_mm2:g} mm² were taken as dirt. It was cut into square tiles of "
        f"{tiling.side_um:g} µm{overlap}, resized to {tiling.output_px} × {tiling.output_px} "
        f"pixels; tiles with less than {100 * tiling.min_tissue_fraction:.0f} % tissue were not "
        f"made. {drawn}A slide that lost more than "
        f"{100 * settings.quality.max_corrupt_fraction:g} % of its tiles to read errors, or had "
        f"fewer than {settings.quality.min_tiles}, was not scored."
    )


def _color(stain: StainSettings) -> str:
    if stain.method == "none":
        return "Colors were left as scanned."
    names = {
        "vahadane": "the method of Vahadane (sparse non-negative factorization, "
        f"sparsity {stain.sparsity:g})",
        "macenko": "the method of Macenko (plane of optical densities)",
        "iche": "intensity centering and contrast-limited equalization in the style of Tam",
        "reinhard": "the method of Reinhard (mean and spread in a perceptual color space)",
    }
    refused = {
        "fail": "A slide whose stains could not be told apart was not scored.",
        "reference": "A slide whose stains could not be told apart was given those of the "
        "reference, and flagged.",
    }
    return (
        f"Each slide was brought to one reference by {names[stain.method]}, fitted once on "
        f"{stain.n_pixels:,} pixels sampled over the whole tissue (seed {stain.seed}); "
        f"concentrations were matched at percentile {stain.percentile:g}. "
        f"{refused[stain.on_refusal]}"
    )


def _nuclei(settings: StudySettings) -> str:
    if settings.training.encoder.channels == "rgb":
        return "No nuclei channel was used."
    return (
        "A segmentation network gave each pixel its probability of being nucleus; the map, kept "
        "soft, became the fourth channel of the tile."
    )


def _risk(training: TrainingSettings, n_features: int) -> str:
    hidden, architecture = training.encoder.hidden_units, training.encoder.architecture
    if n_features:
        head = f"A network with a hidden layer of {hidden} units" if hidden else "A linear function"
        scored = f"{head} gave each tile one unbounded score."
    elif training.encoder.trained:
        scored = f"A convolutional network ({architecture}) gave each tile one unbounded score."
    else:
        scored = (
            f"A convolutional network ({architecture}), not trained on these patients, described "
            "each tile, and a linear function of that gave the tile one unbounded score."
        )
    cutoff = {
        "cutoff": f"{training.loss.cutoff:g}",
        "cross-entropy": "0.5",
        "cox": "the median risk of the training patients",
    }
    return (
        f"{scored} All "
        f"tiles of all slides of a patient were pooled by {_pooling(training)} and "
        "squashed to a risk between 0 and 1; higher means earlier event. Risk above "
        f"{cutoff[training.loss.name]} is high: the cut-off is part of the model and was not chosen on "
        "the patients reported here."
    )


def _pooling(training: TrainingSettings) -> str:
    reduction = {
        "mean": "mean, which does not depend on how many tiles a patient has",
        "sum": "sum, as printed in the source paper, which grows with the number of tiles",
    }
    return {
        "generalized-mean": f"a signed generalized mean (p = {training.pooling.exponent:g}; "
        f"{reduction[training.pooling.reduction]})",
        "mean": "their mean",
        "max": "their maximum",
        "log-sum-exp": f"log-sum-exp (sharpness {training.pooling.sharpness:g})",
        "noisy-and": f"noisy-and (steepness {training.pooling.steepness:g})",
        "top-bottom": f"a small network on the {training.pooling.ends} highest and lowest",
        "attention": "gated attention",
        "tile-labels": "the mean of their probabilities (each tile was trained on the patient's label)",
    }[training.pooling.method]


def _training(training: TrainingSettings) -> str:
    optimizer = training.optimizer
    tiles = (
        f"{counted(optimizer.tiles_per_bag, 'tile')} of each"
        if optimizer.tiles_per_bag
        else "all their tiles"
    )
    norm = {
        "frozen": "with batch statistics frozen",
        "train": "with batch statistics of each patient's own tiles",
    }
    who = (
        "All training patients with follow-up were used, by Cox's partial likelihood (Efron ties)."
        if training.loss.name == "cox"
        else "Only training patients with a distinct outcome were used: good, if followed for "
        f"{training.loss.good_months:g} months or more without the event; poor, if the event came "
        f"before {training.loss.poor_months:g} months."
    )
    group = training.loss.patients_per_step or (0 if training.loss.name == "cox" else 1)
    step = {0: "All patients", 1: "One patient"}.get(group, f"{group} patients")
    return (
        f"{who} {step} a step, {tiles}, "
        f"{optimizer.epochs} epochs; learning rate {optimizer.learning_rate:g}, halved every "
        f"{optimizer.halve_every} epochs; L2 penalty {training.loss.l2:g}; "
        f"{norm[training.encoder.batch_norm]}; seed {training.seed}."
    )


def _statistics_paragraphs(statistics: StatisticsSettings) -> tuple[Paragraph, ...]:
    return (
        Paragraph("Statistics", _statistics(statistics)),
        Paragraph("Predicted probabilities", _PREDICTION),
        Paragraph("Competing risks", _COMPETING.format(interval=statistics.interval)),
    )


def _statistics(statistics: StatisticsSettings) -> str:
    chosen = {
        "significant": "the factors with p below "
        f"{statistics.alpha:g} alone (the source paper's rule)",
        "all": "all the clinical factors",
    }
    horizons = ", ".join(f"{h:g}" for h in statistics.horizons_months)
    auc = {
        "score": "events up to and including the horizon (T ≤ t)",
        "timeroc": "events before the horizon (T < t)",
    }
    return (
        f"Survival was estimated by Kaplan and Meier with {100 * statistics.level:g} % intervals "
        f"on the {statistics.interval} scale, groups were compared by the log-rank test. Hazard "
        f"ratios come from Cox regression ({statistics.ties.capitalize()} ties), univariable, "
        f"then multivariable: the classifier together with {chosen[statistics.multivariable]}; patients "
        "with a missing value are left out of the model that needs it, and counted. Proportional "
        "hazards were tested by the score test of a coefficient that changes with 1 - S(t) (R's cox.zph "
        "since survival 3). Time-dependent AUC at "
        f"{horizons} months is weighted for censoring and counts as cases {auc[statistics.auc_recipe]}. "
        "Concordance is Harrell's and Uno's with intervals by the infinitesimal jackknife; two markers "
        "are compared in the same patients. "
        f"A difference is called shown where its {100 * statistics.level:g} % interval leaves out none; "
        "hazards are called not proportional where p < 0.05."
    )


_PREDICTION = (
    "Where the risk is a probability of the event by the landmark, calibration is shown in groups, by a "
    "smooth curve (pseudo-values, complementary log-log, restricted cubic spline of three knots), by "
    "the slope (coefficient of log(-log(1 - p)) in a Cox model, 1 for a perfect model), the intercept at "
    "slope 1 (pseudo-values) and the observed/expected ratio at the landmark (log interval). Brier "
    "scores are weighted for censoring; the integrated one is that of a Cox model of the risk, fitted to "
    "these patients, from 0 to the landmark. The decision curve takes the probability of the event among "
    "those at or above each threshold from follow-up."
)
_COMPETING = (
    "Where a competing event is declared, every probability accounts for it: cumulative incidence by "
    "Aalen and Johansen with intervals on the {interval} scale of the incidence (infinitesimal "
    "jackknife, as R's survfit), compared by Gray's test; patients who had the competing event are "
    "controls of the AUC and without the event in the Brier score, as in R's "
    "riskRegression::Score(cause = 1); calibration and decision curve use the cumulative incidence; "
    "Fine and Gray's model (R's finegray with coxph) stands beside Cox's. Hazard ratios, log-rank tests "
    "and concordance are cause-specific: they count such patients as censored."
)

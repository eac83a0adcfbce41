"""What Liu et al. 2021 print of their TCGA cohort, as printed."""

__all__ = ["ADJUSTED", "N_EVENTS", "N_PATIENTS", "TABLE_2", "TABLE_3"]

N_PATIENTS = 302
N_EVENTS = 165

TABLE_2: dict[str, tuple[str, float, float, float]] = {
    "age": ("Age, per year", 0.995675, -0.69645, 0.48615),
    "male": ("Sex (printed: female vs male; here male vs female)", 0.859213, -0.91769, 0.358779),
    "afp": ("AFP, positive vs negative (here > 20 ng/ml)", 1.379967, 1.770971, 0.076566),
    "no_invasion": ("Vascular invasion, no vs yes", 0.543518, -3.32539, 0.000883),
    "til": ("TIL, low vs high", 1.646678, 2.72641, 0.006403),
    "str": ("STR, low vs high", 0.69751, -2.29362, 0.021812),
    "stage_2": ("AJCC stage, II vs I", 1.937217, 3.171588, 0.001516),
    "stage_34": ("AJCC stage, III/IV vs I", 3.078974, 5.909885, 3.42e-09),
    "high_risk": ("Classifier, high vs low risk", 2.724386, 6.169901, 6.83e-10),
}
"""Term -> label, hazard ratio, z, p."""

ADJUSTED = (2.55, 1.64, 3.99)
"""Figure 5A: hazard ratio of the classifier and its 95 % interval, beside stage, AFP, grade, invasion."""

TABLE_3: dict[str, tuple[int, int, float]] = {
    "presence_of_stroma": (25, 4, 0.0003),
    "high_cytological_atypia": (36, 11, 0.001),
    "nuclear_hyperchromasia": (28, 7, 0.0012),
    "immune_infiltration": (3, 19, 0.0019),
}
"""Feature -> tiles of 200 at high risk, of 200 at low risk, p."""

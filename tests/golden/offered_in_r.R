# What `jecur.survival` offers and no other table of R's numbers covers. Run in this folder:
#   Rscript offered_in_r.R     reads probabilities_in_r.json (the patients), writes offered_in_r.json
# Debian: apt-get install r-cran-survival r-cran-cmprsk r-cran-jsonlite
suppressMessages({library(survival); library(cmprsk); library(jsonlite)})

given <- fromJSON("probabilities_in_r.json")
d <- as.data.frame(given$censored$data)
d$event <- d$cause == 1
s <- Surv(d$months, d$event)

# Difference of two concordances of the same patients; coxph that takes no step keeps the marker as it is.
as_is <- function(x) coxph(s ~ x, init = 1, control = coxph.control(iter.max = 0))
both <- concordance(as_is(d$prob), as_is(d$age))
turn <- c(1, -1)
difference <- sum(turn * both$concordance)
se <- sqrt(drop(turn %*% both$var %*% turn))

# Uno's C up to 36 months: pairs weighted by the squared inverse of the censoring curve.
uno <- concordance(s ~ prob, d, timewt = "n/G2", ymax = 36, reverse = TRUE)

small <- coxph(s ~ age, d)
large <- coxph(s ~ age + prob + group, d)
test <- anova(small, large)

# Percentile interval of the concordance over given draws of the patients.
set.seed(11)
n <- nrow(d)
draws <- replicate(200, sample.int(n, n, replace = TRUE))
value <- apply(draws, 2, function(rows)
  concordance(Surv(months, event) ~ prob, d[rows, ], reverse = TRUE)$concordance)

k <- as.data.frame(given$competing$data)
k$state <- factor(k$cause, 0:2, c("censored", "event", "other"))
long <- finegray(Surv(months, state) ~ ., k[, c("months", "state", "prob", "age")], etype = "event")
of_long <- function(ties) coef(coxph(Surv(fgstart, fgstop, fgstatus) ~ prob + age, long, weights = fgwt, ties = ties))
direct <- crr(k$months, k$cause, k[, c("prob", "age")], gtol = 1e-12, maxiter = 100)

write(toJSON(list(
  r = R.version.string,
  packages = list(survival = as.character(packageVersion("survival")), cmprsk = as.character(packageVersion("cmprsk"))),
  compare_concordance = list(difference = difference, se = se),
  uno_concordance = list(estimate = unname(uno$concordance)),
  likelihood_ratio = list(chi2 = test$Chisq[2], df = test$Df[2], p = test$`Pr(>|Chi|)`[2]),
  bootstrap = list(draws = t(draws) - 1, estimate = unname(concordance(s ~ prob, d, reverse = TRUE)$concordance),
                   value = value, limits = unname(quantile(value, c(0.025, 0.975))), sd = sd(value)),
  fine_gray = list(efron = unname(of_long("efron")), breslow = unname(of_long("breslow")),
                   crr = unname(direct$coef), crr_se = unname(sqrt(diag(direct$var))))
), auto_unbox = TRUE, digits = NA), "offered_in_r.json")

# The clinical model with and without the score, by R: run in this folder, writes the two CSV files beside it.
# survival::concordance of two fits and its variance; anova of two coxph; riskRegression::Score with contrasts.
suppressMessages({library(survival); library(riskRegression); library(prodlim)})
set.seed(20261125)
n <- 160
d <- data.frame(age = round(rnorm(n, 62, 9)), stage = sample(c("I", "II", "III"), n, TRUE),
                score = round(plogis(rnorm(n)), 4))
eta <- 0.02 * (d$age - 62) + 0.5 * (d$stage == "III") + 2.0 * (d$score - 0.5)
t1 <- rexp(n, exp(eta) / 40); t2 <- rexp(n, exp(0.03 * (d$age - 62)) / 90); censor <- runif(n, 12, 80)
d$months <- round(pmin(t1, t2, censor), 4)
d$status <- ifelse(censor <= pmin(t1, t2), 0, ifelse(t1 <= t2, 1, 2))
stopifnot(!anyDuplicated(d$months))
write.csv(d, "added_value_patients.csv", row.names = FALSE)
d$event <- as.integer(d$status == 1)
out <- data.frame()
say <- function(world, quantity, months, value, se = NA)
  out <<- rbind(out, data.frame(world, quantity, months, value, se))

m0 <- coxph(Surv(months, event) ~ age + stage, d, x = TRUE, y = TRUE)
m1 <- coxph(Surv(months, event) ~ age + stage + score, d, x = TRUE, y = TRUE)
say("censored", "lrt_chi2", NA, 2 * (m1$loglik[2] - m0$loglik[2]))
stopifnot(all.equal(anova(m0, m1)$Chisq[2], 2 * (m1$loglik[2] - m0$loglik[2])))
both <- concordance(m0, m1)
say("censored", "c_clinical", NA, both$concordance[1], sqrt(both$var[1, 1]))
say("censored", "c_with_score", NA, both$concordance[2], sqrt(both$var[2, 2]))
w <- c(-1, 1)
say("censored", "c_difference", NA, sum(w * both$concordance), sqrt(drop(w %*% both$var %*% w)))

ibs <- function(score, models) {
  b <- as.data.frame(score$Brier$score)
  sapply(models, function(m) {
    one <- b[b$model == m, ]; one <- one[order(one$times), ]
    sum(one$Brier * diff(c(one$times, 36))) / 36
  })
}
score_both <- function(world, models, formula) {
  at <- c(12, 24, 36)
  s <- Score(models, formula, data = d, times = at, cause = 1, metrics = c("auc", "brier"),
             conf.int = 0.95, contrasts = TRUE, null.model = FALSE)
  for (metric in c("AUC", "Brier")) {
    one <- as.data.frame(s[[metric]]$score)
    for (i in seq_len(nrow(one))) say(world, paste0(tolower(metric), "_", one$model[i]), one$times[i], one[[metric]][i], one$se[i])
    two <- as.data.frame(s[[metric]]$contrasts)
    for (i in seq_len(nrow(two))) say(world, paste0(tolower(metric), "_difference"), two$times[i], two[[paste0("delta.", metric)]][i], two$se[i])
  }
  every <- c(0, sort(d$months[d$months < 36]))
  s <- Score(models, formula, data = d, times = every, cause = 1, metrics = "brier", summary = "ibs",
             conf.int = FALSE, contrasts = FALSE, null.model = FALSE)
  for (m in names(models)) say(world, paste0("ibs_", m), 36, ibs(s, m))
}
score_both("censored", list(clinical = m0, with_score = m1), Surv(months, event) ~ 1)
f0 <- FGR(Hist(months, status) ~ age + stage, d, cause = 1)
f1 <- FGR(Hist(months, status) ~ age + stage + score, d, cause = 1)
score_both("competing", list(clinical = f0, with_score = f1), Hist(months, status) ~ 1)
write.csv(out, "added_value_r.csv", row.names = FALSE)

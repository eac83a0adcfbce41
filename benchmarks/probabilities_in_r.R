# R's numbers for every probability of a report, with and without a competing event.
# Writes tests/golden/probabilities_in_r.json: two cohorts drawn here, and what R makes of them.
#   Rscript benchmarks/probabilities_in_r.R tests/golden/probabilities_in_r.json
# Debian: apt-get install r-cran-survival r-cran-cmprsk r-cran-prodlim r-cran-jsonlite r-cran-rms and riskRegression from CRAN.
suppressMessages({library(survival); library(cmprsk); library(prodlim); library(riskRegression); library(jsonlite)})
out <- commandArgs(TRUE)[1]
tight <- coxph.control(eps = 1e-12, toler.chol = 1e-13)

cohort <- function(seed, n, compete) {
  set.seed(seed)
  x <- rnorm(n); age <- round(rnorm(n, 60 + 3 * x, 9))
  first <- rexp(n, 0.02 * exp(0.9 * x)); second <- if (compete) rexp(n, 0.012 * exp(0.3 * x)) else rep(Inf, n)
  limit <- runif(n, 6, 110)
  months <- pmax(0.5, ceiling(2 * pmin(first, second, limit)) / 2)   # half months: many ties
  cause <- ifelse(pmin(first, second) > limit, 0, ifelse(first <= second, 1, 2))
  prob <- round(pmin(pmax(plogis(-0.6 + 1.1 * x + rnorm(n, 0, 0.4)), 0.02), 0.97), 3)
  data.frame(months, cause, prob, age, group = as.integer(prob > 0.4))
}

smooth_curve <- function(pseudo, x, at, knots) {
  basis <- function(v) cbind(1, Hmisc::rcspline.eval(v, knots = knots, inclx = TRUE))
  B <- basis(x)
  m <- glm(pseudo ~ B - 1, family = quasi(link = "cloglog", variance = "constant"),
           start = c(0, 1, 0), control = list(epsilon = 1e-13, maxit = 500))
  V <- sandwich(m, B, pseudo)
  eta <- as.vector(basis(at) %*% coef(m)); se <- sqrt(rowSums((basis(at) %*% V) * basis(at)))
  z <- qnorm(0.975); f <- function(v) 1 - exp(-exp(v))
  list(at = 1 - exp(-exp(at)), observed = f(eta), lower = f(eta - z * se), upper = f(eta + z * se))
}

sandwich <- function(m, B, y, offset = 0) {
  eta <- as.vector(B %*% coef(m)) + offset
  D <- B * (exp(eta) * exp(-exp(eta))); r <- y - (1 - exp(-exp(eta)))
  A <- solve(t(D) %*% D); A %*% (t(D * r) %*% (D * r)) %*% A
}

numbers <- function(d, compete) {
  assign("d", d, globalenv())   # pseudo() evaluates the call of a fit there
  h <- 36; times <- c(12, 36, 60); z <- qnorm(0.975)
  f <- if (compete) Hist(months, cause) ~ 1 else Surv(months, cause) ~ 1
  s <- Score(list(prob = d$prob, age = d$age / 200), formula = f, data = d, cause = 1, times = times,
             metrics = c("AUC", "brier"), null.model = TRUE)
  fit <- if (compete) survfit(Surv(months, factor(cause, 0:2)) ~ 1, data = d)
         else survfit(Surv(months, cause) ~ 1, data = d)
  grouped <- if (compete) survfit(Surv(months, factor(cause, 0:2)) ~ group, data = d) else survfit(Surv(months, cause) ~ group, data = d)
  events <- function(fit) { a <- summary(fit, times = times, extend = TRUE)
    if (compete) list(incidence = a$pstate[, 2], lower = a$lower[, 2], upper = a$upper[, 2], se = a$std.err[, 2],
                      competing = a$pstate[, 3], competing_lower = a$lower[, 3], competing_upper = a$upper[, 3],
                      free = a$pstate[, 1], free_lower = a$lower[, 1], free_upper = a$upper[, 1], n_risk = a$n.risk[, 1])
    else list(incidence = 1 - a$surv, lower = 1 - a$upper, upper = 1 - a$lower, se = a$std.err, n_risk = a$n.risk) }
  at_h <- function(rows) { g <- if (compete) survfit(Surv(months, factor(cause, 0:2)) ~ 1, data = d[rows, ])
                             else survfit(Surv(months, cause) ~ 1, data = d[rows, ])
    a <- summary(g, times = h, extend = TRUE)
    if (compete) c(a$pstate[2], a$lower[2], a$upper[2], a$std.err[2]) else c(1 - a$surv, 1 - a$upper, 1 - a$lower, a$std.err) }
  x <- log(-log(1 - d$prob))
  edges <- unique(quantile(d$prob, seq(0.2, 0.8, 0.2)))
  fifth <- findInterval(d$prob, edges, left.open = TRUE)
  fifths <- lapply(sort(unique(fifth)), function(k) { rows <- fifth == k; o <- at_h(rows)
    list(n = sum(rows), events = sum(d$cause[rows] == 1 & d$months[rows] <= h), predicted = mean(d$prob[rows]),
         observed = o[1], lower = o[2], upper = o[3]) })
  all <- at_h(rep(TRUE, nrow(d)))
  oe <- all[1] / mean(d$prob)
  ps <- if (compete) pseudo(fit, times = h, type = "pstate") else pseudo(fit, times = h, type = "surv")
  ps <- if (compete) as.vector(if (length(dim(ps)) == 3) ps[, 1, 2] else ps[, 2]) else 1 - as.vector(ps)
  one <- matrix(1, nrow(d), 1)
  m <- glm(ps ~ one - 1 + offset(x), family = quasi(link = "cloglog", variance = "constant"), start = 0,
           control = list(epsilon = 1e-14, maxit = 500))
  knots <- quantile(x, c(0.1, 0.5, 0.9))
  slope <- if (compete) { w <- finegray(Surv(months, factor(cause, 0:2)) ~ x, data = cbind(d, x = x), etype = "1")
             e <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x, weights = fgwt, data = w, control = tight)
             b <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x, weights = fgwt, data = w, ties = "breslow", control = tight)
             list(efron = unname(coef(e)), breslow = unname(coef(b)), crr = unname(crr(d$months, d$cause, x, gtol = 1e-12)$coef)) }
           else { e <- coxph(Surv(months, cause) ~ x, data = d, control = tight)
             list(efron = unname(coef(e)), se = sqrt(vcov(e)[1])) }
  thresholds <- c(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
  benefit <- sapply(thresholds, function(t) { rows <- d$prob >= t; if (!any(rows)) return(0)
    F <- at_h(rows)[1]; mean(rows) * (F - (1 - F) * t / (1 - t)) })
  treat_all <- all[1] - (1 - all[1]) * thresholds / (1 - thresholds)
  # integrated Brier score of a model of prob, its own patients
  grid <- c(sort(unique(d$months[d$months < h])), h)
  if (compete) {
    w <- finegray(Surv(months, factor(cause, 0:2)) ~ prob, data = d, etype = "1")
    c0 <- coxph(Surv(fgstart, fgstop, fgstatus) ~ prob, weights = fgwt, data = w, ties = "breslow", control = tight)
    risks <- t(1 - summary(survfit(c0, newdata = data.frame(prob = d$prob)), times = grid, extend = TRUE)$surv)
  } else {
    c0 <- coxph(Surv(months, cause) ~ prob, data = d, x = TRUE, ties = "breslow", control = tight)
    risks <- predictRisk(c0, newdata = d, times = grid)
  }
  ib <- Score(list(m = risks), formula = f, data = d, cause = 1, times = grid, metrics = "brier",
              null.model = TRUE, se.fit = FALSE, summary = "ibs")$Brier$score
  last <- ib[ib$times == h, ]
  list(
    data = d, horizon = h, times = times,
    auc = as.list(s$AUC$score), auc_contrast = as.list(s$AUC$contrasts), brier = as.list(s$Brier$score),
    overall = events(fit), low_then_high = events(grouped), gray = if (compete) unname(cuminc(d$months, d$cause, d$group)$Tests[1, 1:2]),
    fifths = fifths, observed_expected = list(ratio = oe, lower = oe * exp(-z * all[4] / all[1]), upper = oe * exp(z * all[4] / all[1])),
    pseudo = ps, intercept = list(estimate = unname(coef(m)), se = sqrt(sandwich(m, one, ps, x)[1])),
    slope = slope, curve = smooth_curve(ps, x, quantile(x, c(0.1, 0.3, 0.5, 0.7, 0.9)), knots),
    decision = list(thresholds = thresholds, net_benefit = benefit, treat_all = treat_all),
    ibs = list(model = last$IBS[last$model == "m"], null = last$IBS[last$model == "Null model"])
  )
}

a <- cohort(1, 160, TRUE); b <- cohort(2, 160, FALSE)
versions <- sapply(c("survival", "cmprsk", "prodlim", "riskRegression"), function(p) as.character(packageVersion(p)))
write(toJSON(list(r = R.version.string, packages = as.list(versions), competing = numbers(a, TRUE), censored = numbers(b, FALSE)),
             digits = NA, auto_unbox = TRUE, pretty = FALSE, dataframe = "columns"), out)

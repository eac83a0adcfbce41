# Fits every cohort of a table with coxph as R comes, and with tight control wherever that fit warned,
# took more than five steps or gave no number.
# Rscript cox_against_r.R cohorts.csv fits.csv
suppressMessages(library(survival))
options(warn = -1)
argument <- commandArgs(TRUE)
rows <- read.csv(argument[1])
tight <- coxph.control(eps = 1e-13, iter.max = 200, toler.chol = 1e-14)

# coxph.fit is what coxph calls once it has read its formula, warnings included; every tenth cohort
# goes through coxph itself and must give the same to the last digit.
one <- function(d, control, whole) {
  p <- d$p[1]
  said <- character()
  x <- as.matrix(d[paste0("x", seq_len(p))])
  y <- aeqSurv(Surv(d$time, d$event))
  stratum <- if (d$stratified[1]) d$stratum else NULL
  fit <- tryCatch(
    withCallingHandlers({
      a <- coxph.fit(x, y, stratum, NULL, NULL, control, d$weight, d$ties[1], NULL,
                     nocenter = c(-1, 0, 1))
      if (whole) {
        right <- c(colnames(x), if (d$stratified[1]) "strata(stratum)")
        f <- as.formula(paste("Surv(time, event) ~", paste(right, collapse = " + ")))
        b <- suppressWarnings(
          coxph(f, d, weights = d$weight, ties = d$ties[1], robust = FALSE, control = control))
        stopifnot(identical(unname(coef(b)), unname(a$coefficients)), identical(b$var, a$var))
      }
      a
    },
    warning = function(w) {
      said <<- c(said, conditionMessage(w))
      invokeRestart("muffleWarning")
    }),
    error = function(e) {
      said <<- c(said, conditionMessage(e))
      NULL
    })
  b <- se <- rep(NA, 4)
  ll <- c(NA, NA)
  iter <- NA
  if (!is.null(fit)) {
    b[seq_len(p)] <- fit$coefficients
    se[seq_len(p)] <- sqrt(diag(fit$var))
    ll <- fit$loglik
    iter <- fit$iter[1]
  }
  lrt <- pchisq(2 * (ll[2] - ll[1]), p, lower.tail = FALSE)
  data.frame(t(c(b, se, ll, lrt, iter)), said = paste(gsub("[,\n ]+", " ", said), collapse = "; "))
}

out <- lapply(split(rows, rows$cohort), function(d) {
  a <- one(d, coxph.control(), d$cohort[1] %% 10 == 0)
  p <- d$p[1]
  easy <- a$said == "" && a[[12]] <= 5 && !anyNA(a[seq_len(p)]) && all(a[4 + seq_len(p)] > 0)
  b <- if (isTRUE(easy)) a else one(d, tight, FALSE)
  names(a) <- c(paste0("b", 1:4), paste0("se", 1:4), "null", "loglik", "lrt", "iter", "said")
  names(b) <- paste0("tight_", names(a))
  cbind(cohort = d$cohort[1], a, b)
})
out <- do.call(rbind, out)
numbers <- vapply(out, is.numeric, TRUE)
out[numbers] <- lapply(out[numbers], function(v) ifelse(is.na(v), "", sprintf("%.17g", v)))
write.csv(out, argument[2], row.names = FALSE)

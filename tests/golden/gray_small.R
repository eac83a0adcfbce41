# Gray's test in small groups, times tied and often everybody with the event: run in this folder,
#   Rscript gray_small.R     writes gray_small.csv (patients) and gray_small_in_r.csv
# Debian: apt-get install r-cran-cmprsk
suppressMessages(library(cmprsk))
set.seed(20)
patients <- answers <- NULL
for (k in 1:200) {
  n <- sample(3:14, 1)
  chances <- list(c(0, 1, 0), c(.1, .9, 0), c(0, .8, .2), c(.2, .6, .2))[[k %% 4 + 1]]
  d <- data.frame(set = k, time = sample(0:sample(c(2, 4, 8, 100), 1), n, TRUE),
                  cause = sample(0:2, n, TRUE, chances), group = sample(sample(2:4, 1), n, TRUE))
  found <- tryCatch(cuminc(d$time, d$cause, d$group)$Tests, error = function(e) NULL)
  row <- if (!is.null(found) && "1" %in% rownames(found)) found["1", ] else c(stat = NA, pv = NA, df = NA)
  patients <- rbind(patients, d)
  answers <- rbind(answers, data.frame(set = k, chi2 = row[["stat"]], p = row[["pv"]], df = row[["df"]]))
}
write.csv(patients, "gray_small.csv", row.names = FALSE, quote = FALSE)
write.csv(format(answers, digits = 15, trim = TRUE), "gray_small_in_r.csv", row.names = FALSE, quote = FALSE)

# Two reviewers of 120 tiles, and what R finds in their answers, for tests/reading/test_close.py.
# Run in tests/golden: Rscript review_in_r.R IRR IRRCAC   (folders as in agreement_in_r.R)
arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "kappa2.R"))
source(file.path(arguments[2], "agree.coeff2.r"))
source(file.path(arguments[2], "weights.gen.r"))
set.seed(180)
n <- 120
features <- c("presence_of_stroma", "high_cytological_atypia", "nuclear_hyperchromasia", "immune_infiltration")
tiles <- data.frame(tile = seq_len(n), patient = paste0("P", sample(1:30, n, TRUE)),
                    end = rep(c("high", "low"), n / 2))
said <- function(chance) ifelse(runif(n) < 0.04, -1, as.numeric(runif(n) < chance))
for (k in seq_along(features)) {
  high <- c(0.6, 0.5, 0.93, 0.3)[k]; low <- c(0.35, 0.45, 0.9, 0.5)[k]
  truth <- as.numeric(runif(n) < ifelse(tiles$end == "high", high, low))
  for (who in c("AB", "CD")) {
    slip <- ifelse(who == "AB", 0.08, 0.15)
    told <- ifelse(runif(n) < slip, 1 - truth, truth)
    tiles[[paste(who, features[k], sep = ".")]] <- ifelse(runif(n) < 0.04, -1, told)
  }
}
write.csv(tiles, "review_readings.csv", row.names = FALSE, quote = FALSE)

rows <- NULL
for (f in features) {
  a <- tiles[[paste("AB", f, sep = ".")]]; b <- tiles[[paste("CD", f, sep = ".")]]
  both <- a >= 0 & b >= 0
  table <- table(factor(a[both], 1:0), factor(b[both], 1:0))
  table <- matrix(as.vector(table), 2)
  gwet <- gwet.ac1.table(table); cohen <- kappa2.table(table)
  for (rule in c("majority", "unanimous", "any", "first")) {
    a1 <- replace(a, a < 0, NA); b1 <- replace(b, b < 0, NA)
    joined <- switch(rule,
      majority = , unanimous = ifelse(is.na(a1), b1, ifelse(is.na(b1), a1, ifelse(a1 == b1, a1, NA))),
      any = pmax(a1, b1, na.rm = TRUE), first = a1)
    known <- !is.na(joined)
    counts <- table(factor(tiles$end[known], c("high", "low")), factor(joined[known], 1:0))
    test <- fisher.test(counts)
    rows <- rbind(rows, data.frame(feature = f, rule = rule, n = sum(both), left_out = sum(!both),
      agreement = mean(a[both] == b[both]), prevalence_first = mean(a[both]), prevalence_second = mean(b[both]),
      kappa = kappa2(data.frame(a, b)[both, ])$value, kappa_se = cohen$coeff.se,
      ac1 = gwet$coeff.val, ac1_se = gwet$coeff.se,
      with_high = counts[1, 1], n_high = sum(counts[1, ]), with_low = counts[2, 1], n_low = sum(counts[2, ]),
      odds_ratio = unname(test$estimate), lower = test$conf.int[1], upper = test$conf.int[2], p = test$p.value))
  }
}
rows$p_holm <- ave(rows$p, rows$rule, FUN = function(p) p.adjust(p, "holm"))
for (name in names(rows)) if (is.numeric(rows[[name]])) rows[[name]] <- format(rows[[name]], digits = 15, trim = TRUE)
write.csv(rows, "review_in_r.csv", row.names = FALSE, quote = FALSE)

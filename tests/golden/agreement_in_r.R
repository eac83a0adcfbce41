# Agreement of two readings in R, for tests/survival/test_rater_agreement.py.
# Run: Rscript tests/golden/agreement_in_r.R IRR IRRCAC > tests/golden/agreement_in_r.csv
# IRR and IRRCAC are the folders R/ of the sources of the packages irr (kappa2.R) and irrCAC
# (agree.coeff2.r, weights.gen.r); vcd is a package of Debian (r-cran-vcd).
arguments <- commandArgs(trailingOnly = TRUE)
source(file.path(arguments[1], "kappa2.R"))
source(file.path(arguments[2], "agree.coeff2.r"))
source(file.path(arguments[2], "weights.gen.r"))
suppressPackageStartupMessages(library(vcd))

set.seed(18)
drawn <- t(replicate(36, {
  n <- sample(c(6, 20, 40, 100, 400), 1)
  as.vector(rmultinom(1, n, c(rgamma(1, 1), rgamma(1, 0.3), rgamma(1, 0.3), rgamma(1, 1))))
}))
fixed <- rbind(c(40, 9, 6, 45), c(80, 10, 5, 5), c(118, 5, 2, 0), c(10, 0, 0, 10),
               c(0, 10, 10, 0), c(1, 1, 1, 1), c(28, 13, 7, 27))
counts <- rbind(fixed, drawn)
written <- c("both,first_only,second_only,neither,kappa_irr,kappa_vcd,kappa_ase_vcd,kappa_irrcac,kappa_se_irrcac,ac1_irrcac,ac1_se_irrcac")
for (i in seq_len(nrow(counts))) {
  k <- counts[i, ]
  table <- matrix(k, 2, byrow = TRUE)
  raw <- data.frame(a = rep(c(1, 1, 0, 0), k), b = rep(c(1, 0, 1, 0), k))
  varies <- length(unique(raw$a)) > 1 || length(unique(raw$b)) > 1
  if (!varies) next
  irr <- tryCatch(kappa2(raw)$value, error = function(e) NA)
  # irr drops a category that neither reading used; where one reading used one it is as ours
  ours <- Kappa(table)$Unweighted
  cohen <- kappa2.table(table)
  gwet <- gwet.ac1.table(table)
  written <- c(written, paste(c(k, format(c(irr, ours[1], ours[2], cohen$coeff.val, cohen$coeff.se,
    gwet$coeff.val, gwet$coeff.se), digits = 15)), collapse = ","))
}
cat(gsub(" ", "", written), sep = "\n")

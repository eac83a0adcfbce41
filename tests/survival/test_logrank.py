"""Log-rank tests against R's survdiff and survminer's pairwise tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jecur.errors import NotEstimableError
from jecur.survival.competing import gray_test
from jecur.survival.logrank_test import logrank, pairwise_logrank


def numbers(text):
    return np.array([float(v) for v in str(text).split(";")])


def test_every_survdiff_matches_r(r):
    gold = r.table("standard/survdiff.csv")
    for row in gold.itertuples():
        group = row.formula.split("~")[1].split("+")[0]
        design = r.build(
            row.formula.replace(f"~{group}", f"~cluster({group})"), r.data(row.dataset)
        )
        test = logrank(design.time, design.event, design.cluster, strata=design.strata, rho=row.rho)
        assert (test.n, test.df) == (row.n, row.df), row
        assert test.chi2 == pytest.approx(row.chisq, rel=1e-10), row
        assert test.p == pytest.approx(row.p, rel=1e-9), row
        order = np.argsort(test.expected)
        np.testing.assert_allclose(test.expected[order], np.sort(numbers(row.expected)), rtol=1e-12)
        np.testing.assert_allclose(
            np.sort(test.observed), np.sort(numbers(row.observed)), rtol=1e-12
        )
        np.testing.assert_allclose(
            np.sort(np.diag(test.covariance)), np.sort(numbers(row.var_diag)), rtol=1e-10
        )


@pytest.mark.slow
def test_every_tcga_logrank_matches_r(r):
    columns = {"sex": "sex", "vi": "vi_yes", "afp20": "afp20", "stage3": "stage3"}
    for rule, table in r.table("tcga/logrank.csv").groupby("rule"):
        whole = r.tcga_rule(rule)
        for row in table.itertuples():
            data, strata = whole, None
            name = columns[row.test.split(" ")[0]]
            if "within stage" in row.test:
                data = data[data.stage3 == row.test.split(" ")[-1]]
            data = data.dropna(subset=[name])
            if "stratified" in row.test:
                data = data.dropna(subset=["stage3"])
                strata = data.stage3.to_numpy()
            test = logrank(data.t, data.e, data[name].to_numpy(), strata=strata, rho=row.rho)
            assert (test.n, test.df) == (row.n, row.df), row
            assert test.chi2 == pytest.approx(row.chisq, rel=1e-10), row
            np.testing.assert_allclose(test.expected.sum(), numbers(row.exp).sum(), rtol=1e-9)


@pytest.mark.parametrize("adjust", ["none", "BH", "bonferroni", "holm"])
def test_pairwise_tests_match_survminer(r, adjust):
    gold = r.table("standard/pairwise_survdiff_survminer.csv").query("adjust == @adjust")
    for dataset, column in (("veteran", "celltype"), ("colon_rec", "rx")):
        data = r.data(dataset)
        have = pairwise_logrank(
            data.time, data.status, data[column].to_numpy(), adjustment=adjust.lower()
        )
        found = {frozenset(pair): p for pair, p in zip(have.pairs, have.p_adjusted, strict=True)}
        want = gold[gold.dataset == dataset]
        assert len(want) == len(found)
        for row in want.itertuples():
            assert found[frozenset((row.a, row.b))] == pytest.approx(row.p, rel=1e-9)


def test_tcga_pairwise_stages_match_survminer(r):
    gold = r.table("tcga/pairwise_stage.csv")
    for (rule, adjust), want in gold.groupby(["rule", "adjust"]):
        data = r.tcga_rule(rule).dropna(subset=["stage3"])
        have = pairwise_logrank(data.t, data.e, data.stage3.to_numpy(), adjustment=adjust.lower())
        found = {frozenset(pair): p for pair, p in zip(have.pairs, have.p_adjusted, strict=True)}
        for row in want.itertuples():
            assert found[frozenset((row.a, row.b))] == pytest.approx(row.p, rel=1e-9)


rows = st.lists(
    st.tuples(st.integers(1, 20), st.booleans(), st.sampled_from("abc")), min_size=8, max_size=50
)


@given(rows, st.permutations("abc"), st.sampled_from([0.0, 1.0]))
def test_names_of_groups_and_order_of_patients_do_not_matter(data, new_names, rho):
    time, event, group = (np.array(v) for v in zip(*data, strict=True))
    try:
        first = logrank(time, event, group, rho=rho)
    except NotEstimableError:
        return
    renamed = np.array([new_names["abc".index(g)] for g in group])[::-1]
    second = logrank(time[::-1], event[::-1], renamed, rho=rho)
    assert second.chi2 == pytest.approx(first.chi2, rel=1e-8, abs=1e-8)
    assert second.df == first.df
    assert first.observed.sum() == pytest.approx(first.expected.sum())


def test_refuses_one_group_and_no_events():
    with pytest.raises(NotEstimableError, match="two groups"):
        logrank([1.0, 2.0], [True, True], ["a", "a"])
    with pytest.raises(NotEstimableError, match="events"):
        logrank([1.0, 2.0], [False, False], ["a", "b"])


class TestGroupsThatNeverMeet:
    """R's survdiff stops with a singular matrix; cmprsk's cuminc gives -1."""

    rng = np.random.default_rng(1)
    time, event = rng.exponential(size=90), rng.random(90) < 0.7
    group = np.repeat(np.array(["A", "B", "C", "D"]), [30, 30, 20, 10])

    @pytest.mark.parametrize(("alone", "named"), [("D", "D"), ("CD", "C, D"), ("A", "A")])
    def test_a_group_alone_in_its_stratum_is_refused_by_name(self, alone, named):
        stratum = np.isin(self.group, list(alone))
        with pytest.raises(NotEstimableError, match=f"that {named} never met") as caught:
            logrank(self.time, self.event, self.group, strata=stratum)
        assert caught.value.code == "groups-apart"

    def test_strata_that_a_group_bridges_are_compared(self):
        stratum = (self.group == "C") | ((self.group == "B") & (np.arange(90) % 2 == 0))
        chained = self.group != "D"
        test = logrank(
            self.time[chained], self.event[chained], self.group[chained], strata=stratum[chained]
        )
        assert test.df == 2

    def test_a_group_gone_before_the_first_event_costs_its_degree_of_freedom(self):
        time, event = self.time.copy(), self.event.copy()
        time[self.group == "D"], event[self.group == "D"] = 1e-6, False
        with_gone, without = (
            logrank(time[rows], event[rows], self.group[rows])
            for rows in (np.ones(90, bool), self.group != "D")
        )
        assert with_gone.df == without.df == 2
        assert with_gone.chi2 == pytest.approx(without.chi2)

    def test_gray_refuses_a_group_gone_before_the_first_event(self):
        other = ~self.event & (np.arange(90) % 3 == 0)
        time, event = self.time.copy(), self.event.copy()
        time[self.group == "D"], event[self.group == "D"] = 1e-6, False
        with pytest.raises(NotEstimableError, match="that D never met"):
            gray_test(time, event, other, self.group)
        rows = self.group != "D"
        assert gray_test(time[rows], event[rows], other[rows], self.group[rows]).df == 2

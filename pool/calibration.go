package pool

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// deciles is how many ranges of scores are told apart.
const deciles = 10

// Calibration compares what scores foretold with what became of the uses: of
// those given a score from Low to High, the share Predicted should be OK. Uses
// are those by traffic, without those that failed through no fault of the proxy.
// Checks are those of live proxies that came when they were due by the clock, and
// so at a moment that says nothing about the proxy.
type Calibration struct {
	Low, High       float64
	Uses, OK        int     // since the start
	Predicted       float64 // mean score of the uses, 0 to 1; 0: no uses
	Checks, Passed  int     // since the start
	PredictedChecks float64 // mean score of the checks, 0 to 1; 0: no checks
}

// calibration counts what was tried by the score that the proxy had before.
type calibration struct {
	uses, checks tried
}

// tried counts by tenths of the score.
type tried struct {
	n, ok [deciles]atomic.Int64
	sum   [deciles]atomic.Int64 // of the scores, in millionths
}

// decile is the range that a score belongs to.
func decile(score float64) int { return min(max(int(score*deciles), 0), deciles-1) }

// add counts one.
func (t *tried) add(score float64, ok bool) {
	i := decile(score)
	t.n[i].Add(1)
	t.sum[i].Add(int64(score * 1e6))
	if ok {
		t.ok[i].Add(1)
	}
}

// row returns one range: how many, how many worked, and the mean score.
func (t *tried) row(i int) (n, ok int, mean float64) {
	ok = int(t.ok[i].Load()) // first, so that it never exceeds n
	n = int(t.n[i].Load())
	if n > 0 {
		mean = min(float64(t.sum[i].Load())/1e6/float64(n), 1)
	}
	return n, ok, mean
}

// table returns all ranges, lowest first.
func (c *calibration) table() []Calibration {
	out := make([]Calibration, deciles)
	for i := range out {
		r := &out[i]
		r.Low, r.High = float64(i)/deciles, float64(i+1)/deciles
		r.Uses, r.OK, r.Predicted = c.uses.row(i)
		r.Checks, r.Passed, r.PredictedChecks = c.checks.row(i)
	}
	return out
}

// span names a range in labels.
func (r *Calibration) span() string {
	return strconv.FormatFloat(r.Low, 'f', 1, 64) + "-" + strconv.FormatFloat(r.High, 'f', 1, 64)
}

// collect reports the table: the uses as two counters for each range, and what was
// predicted and observed as gauges for each range that has any.
func (c *calibration) collect(ch chan<- prometheus.Metric, total, shares *prometheus.Desc) {
	for _, row := range c.table() {
		score := row.span()
		ch <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(row.OK), score, "ok")
		ch <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(row.Uses-row.OK), score, "failed")
		compare(ch, shares, score, "uses", row.Uses, row.OK, row.Predicted)
		compare(ch, shares, score, "checks", row.Checks, row.Passed, row.PredictedChecks)
	}
}

// compare reports one range as two gauges.
func compare(ch chan<- prometheus.Metric, desc *prometheus.Desc, score, of string, n, ok int, predicted float64) {
	if n == 0 {
		return
	}
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, predicted, score, of, "predicted")
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(ok)/float64(n), score, of, "observed")
}

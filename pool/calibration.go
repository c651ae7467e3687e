package pool

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// deciles is how many ranges of scores are told apart.
const deciles = 10

// Calibration compares what scores foretold with what became of the uses: of
// those given a score from Low to High, a share in that range should be OK.
type Calibration struct {
	Low, High float64
	Uses, OK  int // since the start, by traffic; without those that failed through no fault of the proxy
}

// calibration counts uses by the score that the proxy had when it was picked.
type calibration struct {
	uses, ok [deciles]atomic.Int64
}

// decile is the range that a score belongs to.
func decile(score float64) int { return min(max(int(score*deciles), 0), deciles-1) }

// add counts a use.
func (c *calibration) add(score float64, ok bool) {
	i := decile(score)
	c.uses[i].Add(1)
	if ok {
		c.ok[i].Add(1)
	}
}

// table returns all ranges, lowest first.
func (c *calibration) table() []Calibration {
	out := make([]Calibration, deciles)
	for i := range out {
		ok := int(c.ok[i].Load()) // first, so that it never exceeds uses
		out[i] = Calibration{float64(i) / deciles, float64(i+1) / deciles, int(c.uses[i].Load()), ok}
	}
	return out
}

// collect reports the table as two counters for each range.
func (c *calibration) collect(ch chan<- prometheus.Metric, desc *prometheus.Desc) {
	for _, row := range c.table() {
		score := strconv.FormatFloat(row.Low, 'f', 1, 64) + "-" + strconv.FormatFloat(row.High, 'f', 1, 64)
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(row.OK), score, "ok")
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(row.Uses-row.OK), score, "failed")
	}
}

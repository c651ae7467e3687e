package checker_test

import (
	"fmt"
	"testing"
	"time"

	"freeway/lab"
	"freeway/proxy"
)

// TestScoutsMakeNoDifference: with a scout, and without, the same is found out of
// every behaviour in every protocol, claimed rightly, wrongly and not at all.
func TestScoutsMakeNoDifference(t *testing.T) {
	t.Parallel()
	l := start(t, lab.Config{AllowLoopback: true})
	q := map[bool]*listQueue{true: newQueue(), false: newQueue()}
	names := map[proxy.Endpoint]string{}
	for behaviour := lab.Healthy; behaviour <= lab.Marked; behaviour++ {
		if behaviour == lab.Flaky || behaviour == lab.RotatingExit || behaviour >= lab.Stable && behaviour <= lab.OneShot {
			continue // left to chance
		}
		for _, p := range proxy.Protocols() {
			ep, err := l.Add(lab.Upstream{Protocol: p, Behaviour: behaviour})
			if err != nil {
				t.Fatal(err)
			}
			for claimed, change := range map[proxy.Endpoint]func(*proxy.Entry){ep: checked, as(ep, proxy.SOCKS5): guess} {
				names[claimed] = fmt.Sprintf("%v, %v claimed as %v", behaviour, p, claimed.Protocol)
				for _, queue := range q {
					queue.jobs = append(queue.jobs, jobOf(claimed, change))
				}
			}
		}
	}
	told := map[bool]map[proxy.Endpoint]string{}
	for with, queue := range q {
		b := benchOver(t, l, withQueue(queue), workers(50), timeout(3*time.Second))
		if !with {
			b.WithoutScout()
		}
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		told[with] = map[proxy.Endpoint]string{}
		for _, v := range queue.all() {
			s := fmt.Sprint(v.Reached, v.Found)
			for _, o := range v.Outcomes {
				learned := proxy.Traits{}
				if o.Learned != nil {
					learned = *o.Learned
				}
				s += fmt.Sprintf("; %v %v %v %v %+v", o.Endpoint.Protocol, o.Stage, o.Class, o.Status, learned)
			}
			told[with][v.Job.Entries[0].Endpoint] = s
		}
	}
	for ep, name := range names {
		if with, without := told[true][ep], told[false][ep]; with != without || with == "" {
			t.Errorf("%s:\n with    %s\n without %s", name, with, without)
		}
	}
}

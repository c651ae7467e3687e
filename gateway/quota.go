package gateway

import (
	"errors"
	"net"
	"sort"
	"sync"
	"time"
)

// quota counts the payload bytes of one user on one day, UTC.
type quota struct {
	mu   sync.Mutex // protects the fields below
	day  int64      // since 1970
	used int64
}

// errQuota ends a transfer whose user has nothing left.
var errQuota = errors.New("the user's bytes of the day are used up")

const daySeconds = 24 * 60 * 60

// today begins a new count when the day has changed. A clock that runs
// backwards begins none.
func (q *quota) today(now time.Time) {
	if day := now.Unix() / daySeconds; day > q.day {
		q.day, q.used = day, 0
	}
}

// take counts n bytes that are about to pass, or as many as are left of most, and
// returns how many.
func (q *quota) take(n, most int64, now time.Time) int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.today(now)
	n = min(n, max(most-q.used, 0))
	q.used += n
	return n
}

// giveBack takes n bytes back that have not passed.
func (q *quota) giveBack(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used = max(q.used-n, 0)
}

// wait returns how long until the next day when most is used up, else 0.
func (q *quota) wait(most int64, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.today(now); q.used < most {
		return 0
	}
	return time.Unix((q.day+1)*daySeconds, 0).Sub(now)
}

// spend writes b and counts it, as far as the exchange's user has bytes
// left. The error is errQuota when that is not all.
func (x *exchange) spend(b []byte, to net.Conn) (int, error) {
	u := x.user
	if u == nil || u.daily <= 0 || len(b) == 0 {
		return to.Write(b)
	}
	most := int(u.quota.take(int64(len(b)), u.daily, x.c.g.env.Now()))
	if most == 0 {
		return 0, errQuota
	}
	n, err := to.Write(b[:most])
	if n < most {
		u.quota.giveBack(int64(most - n))
	}
	if err == nil && most < len(b) {
		err = errQuota
	}
	return n, err
}

// charge counts the n bytes of a body that is held and may be sent more than once. It
// refuses the request when that many are not left.
func (x *exchange) charge(n int) *refusal {
	u := x.user
	if u == nil || u.daily <= 0 || n == 0 {
		return nil
	}
	now := x.c.g.env.Now()
	if got := u.quota.take(int64(n), u.daily, now); got < int64(n) {
		u.quota.giveBack(got)
		return &refusal{code: codeQuota, msg: errQuota.Error(), retryAfter: u.quota.wait(0, now)}
	}
	return nil
}

// spent notes that a transfer was cut because nothing is left.
func (x *exchange) spent(err error) {
	if errors.Is(err, errQuota) {
		x.cutFor(codeQuota)
	}
}

// cutFor notes why a transfer was cut that had begun.
func (x *exchange) cutFor(code string) {
	x.trace.Code = code
	x.c.g.m.refused.WithLabelValues(code).Inc()
}

// usedUp is the refusal of an upload that ended for want of bytes, nil for one
// that ended because the upstream takes no more.
func usedUp(err error) *refusal {
	if errors.Is(err, errQuota) {
		return refusef(codeQuota, errQuota.Error())
	}
	return nil
}

// Usage is what a user has moved on one day.
type Usage struct {
	User  string `json:"user"`
	Day   int64  `json:"day"`   // days since 1970, UTC
	Bytes int64  `json:"bytes"` // payload, both ways
}

// Usage returns what users with User.DailyBytes have moved, by name, for those
// who keep it over restarts.
func (g *Gateway) Usage() []Usage {
	var all []Usage
	for _, u := range g.set.Load().users {
		u.quota.mu.Lock()
		if u.daily > 0 && u.quota.used > 0 {
			all = append(all, Usage{u.name, u.quota.day, u.quota.used})
		}
		u.quota.mu.Unlock()
	}
	sort.Slice(all, func(i, j int) bool { return all[i].User < all[j].User })
	return all
}

// SetUsage restores what Usage returned. It is called before Run; users that
// are no longer configured and bytes of other days are passed over.
func (g *Gateway) SetUsage(all []Usage) {
	s, today := g.set.Load(), g.env.Now().Unix()/daySeconds
	for _, one := range all {
		if u := s.users[one.User]; u != nil && one.Day == today {
			u.quota.mu.Lock()
			u.quota.day, u.quota.used = one.Day, max(one.Bytes, 0)
			u.quota.mu.Unlock()
		}
	}
}

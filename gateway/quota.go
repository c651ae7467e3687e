package gateway

import (
	"errors"
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

// spend counts n bytes and reports whether there is something left of most.
func (q *quota) spend(n int64, most int64, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.today(now)
	q.used += n
	return q.used < most
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

// spend counts bytes of the exchange's user. It reports false when the transfer
// must end, because nothing is left.
func (x *exchange) spend(n int) bool {
	u := x.user
	if u == nil || u.daily <= 0 || n <= 0 {
		return true
	}
	return u.quota.spend(int64(n), u.daily, x.c.g.env.Now())
}

// spent notes that a transfer was cut because nothing is left.
func (x *exchange) spent(err error) {
	if errors.Is(err, errQuota) {
		x.trace.Code = codeQuota
		x.c.g.m.refused.WithLabelValues(codeQuota).Inc()
	}
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

package web

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"freeway/proxy"
)

// functions are what the templates call.
func (d *Dashboard) functions() template.FuncMap {
	return template.FuncMap{
		"ago":     func(t time.Time) string { return ago(d.env.Now(), t) },
		"until":   func(t time.Time) string { return until(d.env.Now(), t) },
		"ms":      ms,
		"score":   func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) },
		"addr":    addr,
		"tri":     tri,
		"join":    func(s []string) string { return strings.Join(s, ", ") },
		"spark":   spark,
		"percent": func(part, whole int) string { return percent(part, whole) },
		"bytes":   size,
		"num":     func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) },
		"dash":    dash,
		"clock":   func(t time.Time) string { return t.Format(time.RFC3339) },
		"links":   links,
		"words":   func(words ...string) []string { return words },
		"column":  column,
		"class":   func(s string) string { return strings.ReplaceAll(s, " ", "-") },
		"snippet": func(title, text string) snippet { return snippet{title, text} },
		"token":   token,
		"user":    func(ep proxy.Endpoint) string { return ep.String() },
	}
}

// ago says how long ago something was.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return short(now.Sub(t)) + " ago"
}

// until says in how long something is.
func until(now, t time.Time) string {
	switch {
	case t.IsZero():
		return "not planned"
	case !t.After(now):
		return "now"
	}
	return "in " + short(t.Sub(now))
}

// short is a duration in its largest unit.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ms is a duration in milliseconds.
func ms(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return "–"
	}
	return a.String()
}

func tri(t proxy.Tri) string {
	switch t {
	case proxy.Yes:
		return "yes"
	case proxy.No:
		return "no"
	}
	return "unknown"
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func percent(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// size is a number of bytes.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// spark are the points of a line in a box of 100 by 20.
func spark(values []int) string {
	if len(values) < 2 {
		return ""
	}
	top := 1
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for i, v := range values {
		fmt.Fprintf(&b, "%.1f,%.1f ", 100*float64(i)/float64(len(values)-1), 19-18*float64(v)/float64(top))
	}
	return strings.TrimSpace(b.String())
}

// sorts is what a click on a column's head sorts by: the other way round when
// it is sorted by that already.
func sorts(current, column string) string {
	switch current {
	case "-" + column:
		return column
	case column:
		return "-" + column
	}
	if column == "score" || strings.HasPrefix(column, "last_") {
		return "-" + column
	}
	return column
}

// link is an entry of the navigation.
type link struct{ Href, Name string }

func links() []link {
	return []link{{"/", "Overview"}, {"/proxies", "Proxies"}, {"/sources", "Sources"}, {"/requests", "Requests"}, {"/use", "Use it"}, {"/config", "Configuration"}}
}

// snippet is something to copy.
type snippet struct{ Title, Text string }

// token is the option of undici that sends a user name.
func token(user string) string {
	if user == "" {
		return ""
	}
	return fmt.Sprintf(", token: \"Basic %s\"", base64.StdEncoding.EncodeToString([]byte(user+":")))
}

// head is the head of a column that can be sorted by.
type head struct {
	Title, Order string
	Query        template.URL // of the list sorted by it
}

// column makes the head of a column.
func column(d proxiesData, name, title string) head {
	h := head{Title: title}
	sort := d.Sort
	if sort == "" {
		sort = "-score"
	}
	switch sort {
	case name:
		h.Order = "ascending"
	case "-" + name:
		h.Order = "descending"
	}
	q := url.Values{"sort": {sorts(sort, name)}}
	for key, v := range d.Values {
		q.Set(key, v)
	}
	h.Query = template.URL(q.Encode()) // escaped by Encode
	return h
}

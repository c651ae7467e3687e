package scraper

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	dateLayout, ymdLayout = "2006-01-02", "20060102"

	maxDays = 60   // days of Source.Days
	maxBack = 3660 // days that one placeholder goes back
)

// placeholder is a word in braces: {page}, {date-1}, {date:2006/01/02}.
var placeholder = regexp.MustCompile(`\{([A-Za-z_]+)(?:-(\d{1,9}))?(?::([^{}]*))?\}`)

// anyBraces is what a url must not hold besides placeholders: no url has braces.
var anyBraces = regexp.MustCompile(`\{[^{}]*\}?|\}`)

// placeholders are the words that templates know.
func placeholders() []string { return []string{"page", "offset", "date", "ymd"} }

// turn is what the placeholders of one request stand for.
type turn struct {
	page, offset int
	day          time.Time // UTC
}

// fill replaces the placeholders of a template. The rest is left as it is: a
// body may have braces of its own.
func (t turn) fill(template string) string {
	return placeholder.ReplaceAllStringFunc(template, func(mark string) string {
		m := placeholder.FindStringSubmatch(mark)
		back, _ := strconv.Atoi(m[2]) // checkTemplate bounds it
		day := t.day.AddDate(0, 0, -back)
		switch m[1] {
		case "page":
			return strconv.Itoa(t.page)
		case "offset":
			return strconv.Itoa(t.offset)
		case "ymd":
			return day.Format(ymdLayout)
		case "date":
			if m[3] == "" {
				return day.Format(dateLayout)
			}
			return day.Format(m[3])
		}
		return mark
	})
}

// uses reports whether a template holds one of the placeholders named.
func uses(template string, names ...string) bool {
	for _, m := range placeholder.FindAllStringSubmatch(template, -1) {
		if slices.Contains(names, m[1]) {
			return true
		}
	}
	return false
}

// checkURLTemplate reports the first mistake in the braces of a url.
func checkURLTemplate(template string) error {
	for _, braces := range anyBraces.FindAllString(template, -1) {
		m := placeholder.FindStringSubmatch(braces)
		if m == nil || m[0] != braces || !slices.Contains(placeholders(), m[1]) {
			return fmt.Errorf("unknown placeholder %q%s", clip(braces, 32), meant(braces))
		}
	}
	return checkTemplate(template)
}

// checkTemplate reports the first mistake in the placeholders that are known.
func checkTemplate(template string) error {
	for _, m := range placeholder.FindAllStringSubmatch(template, -1) {
		isDate := m[1] == "date" || m[1] == "ymd"
		switch back, _ := strconv.Atoi(m[2]); {
		case !slices.Contains(placeholders(), m[1]): // belongs to a body
		case m[2] != "" && !isDate:
			return fmt.Errorf("placeholder %q: only {date} and {ymd} go back days", clip(m[0], 32))
		case back > maxBack:
			return fmt.Errorf("placeholder %q goes back more than %d days", clip(m[0], 32), maxBack)
		case m[1] != "date" && strings.Contains(m[0], ":"):
			return fmt.Errorf("placeholder %q: only {date} has a format", clip(m[0], 32))
		case strings.Contains(m[0], ":") && !isLayout(m[3]):
			return fmt.Errorf("placeholder %q: write the format as the day 2006-01-02 looks in it, like {date:2006/01/02}", clip(m[0], 32))
		}
	}
	return nil
}

// isLayout reports whether a format tells two days of different months apart.
func isLayout(layout string) bool {
	a, b := time.Date(2021, 3, 14, 0, 0, 0, 0, time.UTC), time.Date(2022, 11, 27, 0, 0, 0, 0, time.UTC)
	return a.Format(layout) != b.Format(layout)
}

// meant names the placeholder that a mistyped one is nearest to.
func meant(braces string) string {
	word := strings.TrimRight(strings.TrimLeft(strings.ToLower(braces), "{ "), "} ")
	best, least := "", 4 // more changes than this make another word
	for _, p := range placeholders() {
		begin := word[:min(len(word), len(p)+2)] // a format may stand behind it
		for _, w := range []string{word, begin, word[:min(len(word), len(p))]} {
			if d := distance(w, p); d < least && d < len(p) {
				best, least = p, d
			}
		}
	}
	if best == "" {
		return "; there are {page}, {offset}, {date} and {ymd}"
	}
	return fmt.Sprintf("; is it {%s}?", best)
}

// distance is how many letters must be changed, added or left out to make a
// into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}

// dated reports whether the address or the body is another one every day.
func (s Source) dated() bool { return uses(s.URL+s.Body.Reveal(), "date", "ymd") }

// targets expands the template: every page of every day, the newest day first.
// s need not be valid.
func (s Source) targets(now time.Time) ([]target, error) {
	if err := checkURLTemplate(s.URL); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if err := checkTemplate(s.Body.Reveal()); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	pages, err := s.pageNumbers()
	if err != nil {
		return nil, err
	}
	days := max(s.Days, 1)
	switch {
	case s.Days < 0 || s.Days > maxDays:
		return nil, fmt.Errorf("days: %d is not 0 to %d", s.Days, maxDays)
	case s.Days > 1 && !s.dated():
		return nil, errors.New("days: the url holds neither {date} nor {ymd}")
	case days*len(pages) > maxPages:
		return nil, fmt.Errorf("days: %d days of %d pages are more than %d requests", days, len(pages), maxPages)
	}
	out := make([]target, 0, days*len(pages))
	for d := range days {
		for _, p := range pages {
			t := turn{page: p, offset: p - s.Pages.From, day: now.UTC().AddDate(0, 0, -d)}
			out = append(out, target{url: t.fill(s.URL), body: t.fill(s.Body.Reveal()), day: d})
		}
	}
	return out, nil
}

// pageNumbers lists what {page} stands for; a single 0 when there are no pages.
func (s Source) pageNumbers() ([]int, error) {
	used := uses(s.URL+s.Body.Reveal(), "page", "offset")
	if s.Pages == (Pages{}) {
		if uses(s.URL, "page", "offset") {
			return nil, errors.New("pages: the url holds {page} or {offset}, but there are no pages; write pages: {from: 1, to: 5}")
		}
		return []int{0}, nil
	}
	step := s.Pages.Step
	if step == 0 {
		step = 1
	}
	n := (s.Pages.To-s.Pages.From)/max(step, 1) + 1
	if step < 1 || s.Pages.From < 0 || s.Pages.To < s.Pages.From || n > maxPages {
		return nil, fmt.Errorf("pages: from %d to %d by %d is not 1 to %d pages", s.Pages.From, s.Pages.To, step, maxPages)
	}
	if !used {
		return nil, errors.New("pages: the url holds neither {page} nor {offset}")
	}
	out := make([]int, n)
	for i := range out {
		out[i] = s.Pages.From + i*step
	}
	return out, nil
}

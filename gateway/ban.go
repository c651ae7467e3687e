package gateway

import (
	"fmt"
	"regexp"
	"strings"

	"freeway/internal/http1"
)

const (
	banPrefix  = 32 << 10 // bytes of a body that patterns are looked for in
	maxPattern = 1 << 10  // bytes of a pattern
)

// banPattern reads one of Ban.Body. Matching takes time linear in the body
// whatever the pattern is.
func banPattern(s string) (*regexp.Regexp, error) {
	if s == "" || len(s) > maxPattern {
		return nil, fmt.Errorf("a pattern has 1 to %d bytes", maxPattern)
	}
	if _, err := regexp.Compile(s); err != nil { // so that it is quoted as it was written
		return nil, err
	}
	re, err := regexp.Compile("(?i)" + s)
	if err == nil && re.MatchString("") {
		err = fmt.Errorf("%q matches every text", clip(s))
	}
	return re, err
}

// banScan keeps the beginning of an answer's body for Config.Ban.Body. Its zero
// value keeps nothing.
type banScan struct {
	list  []*regexp.Regexp
	begin []byte
}

// newBanScan keeps nothing of what is not readable text, or coded.
func newBanScan(list []*regexp.Regexp, h http1.Header) banScan {
	if len(list) == 0 || !isText(h.Get("Content-Type")) {
		return banScan{}
	}
	for coding := range h.Tokens("Content-Encoding") {
		if !http1.EqualFold(coding, "identity") {
			return banScan{}
		}
	}
	return banScan{list: list}
}

// isText reports whether a media type is text that people or programs read. A
// page that names no type may be one.
func isText(media string) bool {
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	media = strings.TrimSpace(media)
	switch {
	case media == "", strings.HasPrefix(media, "text/"), strings.HasSuffix(media, "+xml"), strings.HasSuffix(media, "+json"):
		return true
	}
	return media == "application/json" || media == "application/xml" || media == "application/javascript"
}

// feed takes the next part of the body.
func (b *banScan) feed(p []byte) {
	if len(b.list) > 0 && len(b.begin) < banPrefix {
		b.begin = append(b.begin, p[:min(len(p), banPrefix-len(b.begin))]...)
	}
}

// found reports whether the body means that the exit is banned.
func (b *banScan) found() bool {
	for _, re := range b.list {
		if re.Match(b.begin) {
			return true
		}
	}
	return false
}

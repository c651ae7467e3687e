package scraper

import (
	"bytes"
	"regexp"
	"strings"
)

// pageFacts is what the style sheets and scripts of an HTML page say about the rest
// of it: which elements are not shown, which ones get a text that is not in
// them, and the variables that scripts elsewhere in the page count with.
//
// Scripts may be packed by the well-known packer, eval(function(p,a,c,k,e,d){...}),
// also with its letters changed; it replaces words by numbers, which is undone
// without running it.
type pageFacts struct {
	js      jsScript
	hidden  map[string]bool   // classes (".x") and ids ("#x") that are not shown
	content map[string]string // classes whose elements get a text: ports
}

var (
	// "$('.r1').html(8080)" and its relatives: a class and the text that it gets.
	classCall = regexp.MustCompile(`['"]\.([\w-]{1,64})['"]\s*\)\s*\.\s*(?:html|text|append|prepend|innerHTML|innerText|textContent)\s*(?:\(|=)\s*['"]?([0-9:.]{1,21})['"]?`)
	// ".p1:before{content:"8080"}"
	classContent = regexp.MustCompile(`\.([\w-]{1,64})\s*::?(?:before|after)\s*\{[^{}]*?content\s*:\s*['"]([0-9:.]{1,21})['"]`)
	cssRule      = regexp.MustCompile(`([^{}]+)\{([^{}]*)\}`)
	cssHides     = regexp.MustCompile(`(?i)display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?:px|em|rem|pt|%)?\s*(?:[;!]|$)|opacity\s*:\s*0?(?:\.0*)?%?\s*(?:[;!]|$)|left\s*:\s*-\d{3,}`)
	cssLast      = regexp.MustCompile(`[.#][\w-]{1,64}$`)
)

const (
	// Bounds of what one page may cost.
	maxPageClasses = 10_000
	maxScript      = 2 << 20 // of one script that is looked at
)

// readPageFacts looks at all scripts and style sheets first, because they may stand
// behind what they are about.
func readPageFacts(b []byte) *pageFacts {
	p := &pageFacts{js: jsScript{vars: map[string]jsValue{}}, hidden: map[string]bool{}, content: map[string]string{}}
	p.each(b, "<style", "</style", p.style)
	p.each(b, "<script", "</script", p.script)
	return p
}

// each calls f with what is between the tags.
func (p *pageFacts) each(b []byte, open, end string, f func([]byte)) {
	// More scripts than this belong to no list.
	const most = 500
	for range most {
		i := indexFold(b, open)
		if i < 0 {
			return
		}
		b = b[i+len(open):]
		i = bytes.IndexByte(b, '>')
		if i < 0 {
			return
		}
		b = b[i+1:]
		if i = indexFold(b, end); i < 0 {
			i = len(b)
		}
		if i < maxScript {
			f(b[:i])
		}
		b = b[i:]
	}
}

// indexFold finds a tag in any case.
func indexFold(b []byte, tag string) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '<')
		if i < 0 {
			return -1
		}
		if at += i; len(b)-at >= len(tag) && strings.EqualFold(view(b[at:at+len(tag)]), tag) {
			return at
		}
		at++
	}
}

// style collects what a style sheet hides. Rules for some media only are left
// out: they hide columns on telephones.
func (p *pageFacts) style(css []byte) {
	for _, m := range classContent.FindAllSubmatch(css, maxPageClasses) {
		p.content[string(m[1])] = string(m[2])
	}
	// Only the last part of a selector counts: "tr.x td.y" hides what has class y.
	// That hides too much rather than too little.
	for _, m := range cssRule.FindAllSubmatch(withoutMedia(css), maxPageClasses) {
		if !cssHides.Match(m[2]) {
			continue
		}
		for sel := range bytes.SplitSeq(m[1], []byte(",")) {
			if last := cssLast.Find(bytes.TrimSpace(sel)); last != nil {
				p.hidden[string(last)] = true
			}
		}
	}
}

// withoutMedia drops blocks that begin with @.
func withoutMedia(css []byte) []byte {
	var out []byte
	for {
		i := bytes.IndexByte(css, '@')
		if i < 0 {
			return append(out, css...)
		}
		out = append(out, css[:i]...)
		css = css[i:]
		depth, end := 0, len(css)
		for j, c := range css {
			if c == '{' {
				depth++
			} else if c == '}' {
				depth--
			}
			if depth == 0 && (c == ';' || c == '}') {
				end = j + 1
				break
			}
		}
		css = css[end:]
	}
}

// script runs the assignments of a script and collects the classes that it
// fills with ports.
func (p *pageFacts) script(src []byte) {
	if !mayMatter(src) {
		return
	}
	text := string(src)
	if unpacked, ok := unpack(text); ok {
		text = unpacked
	}
	// "$('.r1').html(8080)"
	for _, m := range classCall.FindAllStringSubmatch(text, maxPageClasses) {
		p.content[m[1]] = m[2]
	}
	if len(text) <= maxScriptRun {
		p.js.run(text)
	}
}

// mayMatter is a quick test for scripts that hold variables for ports or fill
// classes; those that write are run where they stand.
func mayMatter(src []byte) bool {
	// Running them here would be for nothing.
	if bytes.Contains(src, []byte("document.write")) {
		return false
	}
	for _, sign := range []string{"eval(function(p", "^", ".html(", ".text(", ".append(", "innerHTML", "textContent"} {
		if bytes.Contains(src, []byte(sign)) {
			return true
		}
	}
	const short = 4 << 10
	return len(src) < short && bytes.IndexByte(src, '=') > 0
}

// unpack undoes the packer that wraps scripts in eval(function(p,a,c,k,e,d)...).
func unpack(src string) (string, bool) {
	i := strings.Index(src, "eval(function(p")
	if i < 0 {
		return "", false
	}
	// The arguments of the packer: the script, the base, the number of words, the
	// words. Its own code is always the same and is not looked at.
	i += strings.Index(src[i:], "}(") + 2
	toks := tokenize(src[i:])
	if len(toks) < 9 || toks[0].kind != 's' || toks[2].kind != 'n' || toks[4].kind != 'n' || toks[6].kind != 's' {
		return "", false
	}
	sep := "|"
	if len(toks) > 10 && toks[8].text == "split" && toks[10].kind == 's' {
		sep = toks[10].text
	}
	base, count := int(toks[2].num), int(toks[4].num)
	if base < 2 || base > 62 || sep == "" {
		return "", false
	}
	words := strings.Split(toks[6].text, sep)
	return expand(toks[0].text, base, words[:min(len(words), max(count, 0))])
}

// expand replaces every word of a packed script by what it stands for.
func expand(packed string, base int, words []string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(packed); {
		j := i
		for j < len(packed) && (isLetter(packed[j]) || isDigit(packed[j]) || packed[j] == '_') {
			j++
		}
		if j == i {
			b.WriteByte(packed[i])
			i++
			continue
		}
		word := packed[i:j]
		if n := packedIndex(word, base); n >= 0 && n < len(words) && words[n] != "" {
			word = words[n]
		}
		if b.WriteString(word); b.Len() > maxScript {
			return "", false
		}
		i = j
	}
	return b.String(), true
}

// packedIndex reads a number in the packer's digits: 0-9, a-z, A-Z.
func packedIndex(word string, base int) int {
	// Four digits are more words than a page has.
	const longest = 4
	if len(word) > longest {
		return -1
	}
	n := 0
	for i := range len(word) {
		var d int
		switch c := word[i]; {
		case isDigit(c):
			d = int(c - '0')
		case c >= 'a' && c <= 'z':
			d = int(c-'a') + 10
		case c >= 'A' && c <= 'Z':
			d = int(c-'A') + 36
		default:
			return -1
		}
		if d >= base {
			return -1
		}
		n = n*base + d
	}
	return n
}

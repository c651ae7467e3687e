package scraper

import (
	"bytes"
	"regexp"
)

// sniffWindow is how much of a list is looked at to find out its format.
const sniffWindow = 32 << 10

var (
	jsAssignment = regexp.MustCompile(`^(?:(?:var|let|const)\s+)?[\w$.]{1,60}\s*[=(]\s*[\[{]`)
	yamlItem     = regexp.MustCompile(`^- (?:\{|[A-Za-z_][\w-]*:(?: |$))`)
	yamlKey      = regexp.MustCompile(`^[A-Za-z_][\w .-]*:\s*(?:#.*)?$`)
	yamlFlow     = regexp.MustCompile(`^[A-Za-z_][\w.-]*: *(?:\[|\{) *(?:[\[{"'\w]|$)`)
	yamlPair     = regexp.MustCompile(`^[A-Za-z_][\w.-]*: +\S`)
	tagStart     = regexp.MustCompile(`^<([A-Za-z](?:[\w:.-]*[\w.-])?)(?:[\s/>]|$)`)
	markdownRule = regexp.MustCompile(`(?m)^\s*\|?\s*:?-{2,}:?\s*\|[\s|:-]*$`)
)

// sniff finds out the format of a list from its beginning, in UTF-8. File names
// and Content-Type are not asked: hosts of raw files call everything text/plain,
// and lists of NDJSON end in .txt as often as not.
//
// The question is only which reader goes first: text in other formats, and
// other formats in text, are found by the readers themselves. So the answer is
// text unless the beginning shows a structure that lines of text do not have.
func sniff(b []byte) string {
	b = trimSpace(b)
	switch {
	case len(b) == 0:
		return "text"
	// comments of JavaScript before a document
	case b[0] == '/':
		if rest := skipComments(b); len(rest) > 0 && isJSONStart(rest) {
			return "json"
		}
	// JSON, "name = [...]" and "callback({...})"
	case isJSONStart(b) || jsAssignment.Match(b[:min(len(b), 200)]):
		return "json"
	// HTML, XML or "<socks5://...>"
	case b[0] == '<':
		if f := sniffMarkup(b); f != "" {
			return f
		}
	}
	// Markdown may hold tags, and HTML no rows between bars.
	switch {
	case hasMarkdownRows(b):
		return "markdown"
	// so may the names in YAML, but there no line begins with one
	case !tagsBeginLines(b) && sniffYAML(b):
		return "yaml"
	case holdsTags(b):
		return "html"
	}
	return "text"
}

// tagsBeginLines reports whether a line begins with a tag.
func tagsBeginLines(b []byte) bool {
	for line := range bytes.Lines(b) {
		if line = trimSpace(line); len(line) > 0 && line[0] == '<' && (tagStart.Match(line) || bytes.HasPrefix(line, []byte("</"))) {
			return true
		}
	}
	return false
}

// skipComments drops the comments of JavaScript that b begins with.
func skipComments(b []byte) []byte {
	for len(b) > 1 && b[0] == '/' {
		end := "\n"
		if b[1] == '*' {
			end = "*/"
		} else if b[1] != '/' {
			break
		}
		_, rest, _ := bytes.Cut(b, []byte(end))
		b = trimSpace(rest)
	}
	return b
}

// isJSONStart tells documents from text in brackets: "[INFO] ...", "[2001:db8::1]:80".
func isJSONStart(b []byte) bool {
	if b[0] != '{' && b[0] != '[' {
		return false
	}
	// What follows the bracket decides.
	rest := bytes.TrimLeft(b[1:], " \t\r\n")
	if len(rest) == 0 {
		return true
	}
	switch c := rest[0]; {
	// a string, an object, an empty object
	case c == '"' || c == '\'' || c == '{' || c == '}' && b[0] == '{':
		return true
	case b[0] == '[':
		// an array of arrays, an empty array; numbers are nothing that a list holds
		return c == '[' || c == ']'
	// a key without quotes, as in JavaScript
	case isLetter(c) || c == '_':
		i := wordEnd(rest, 0)
		return i < len(rest) && rest[i] == ':'
	}
	return false
}

// sniffMarkup tells HTML from XML by the first tag; "" when it is neither.
func sniffMarkup(b []byte) string {
	// The doctype or the first tag tells.
	low := bytes.ToLower(b[:min(len(b), 1024)])
	switch {
	case bytes.HasPrefix(low, []byte("<!doctype html")), bytes.Contains(low, []byte("<html")):
		return "html"
	case bytes.HasPrefix(low, []byte("<?xml")), bytes.HasPrefix(low, []byte("<![cdata[")):
		return "xml"
	// a remark says nothing
	case bytes.HasPrefix(low, []byte("<!--")):
		if i := bytes.Index(b, []byte("-->")); i > 0 {
			return sniff(b[i+3:])
		}
		return "html"
	}
	// Elements that HTML does not have are XML.
	m := tagStart.FindSubmatch(low)
	switch {
	case m == nil:
		return ""
	case isHTMLTag(m[1]):
		if hasMarkdownRows(b) {
			return "markdown"
		}
		return "html"
	case !tagCloses(low, len(m[1])+1):
		return ""
	}
	return "xml"
}

// tagCloses reports whether what follows the name of a tag, which ends at i,
// are attributes or nothing: "<Proxy US 0.33s [HTTP] 1.2.3.4:80>" is no tag.
func tagCloses(b []byte, i int) bool {
	end := bytes.IndexByte(b[i:], '>')
	if end < 0 {
		return true
	}
	rest := bytes.Trim(b[i:i+end], " \t\r\n/")
	return len(rest) == 0 || bytes.IndexByte(rest, '=') > 0
}

// isHTMLTag knows the elements that pages and pieces of pages begin with.
func isHTMLTag(name []byte) bool {
	switch string(name) {
	case "html", "head", "body", "title", "meta", "link", "table", "thead", "tbody", "tfoot", "tr", "td", "th", "div", "span", "p", "br", "hr", "ul", "ol", "li",
		"a", "script", "style", "font", "center", "pre", "form", "input", "button", "h1", "h2", "h3", "h4", "h5", "h6", "b", "i", "u", "em", "strong", "small",
		"section", "main", "header", "footer", "nav", "article", "aside", "img", "textarea", "select", "option", "dl", "dt", "dd", "tt", "code", "noscript",
		"label", "abbr", "caption", "blockquote", "iframe", "svg", "template", "figure", "details", "summary", "base", "frameset":
		return true
	}
	return false
}

// holdsTags reports whether tags that structure a page stand anywhere in b.
func holdsTags(b []byte) bool {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 || i+3 > len(b) {
			return false
		}
		b = b[i:]
		if m := tagStart.FindSubmatch(b[:min(len(b), 40)]); m != nil {
			switch string(bytes.ToLower(m[1])) {
			// those that text of other kinds does not mention
			case "br", "td", "tr", "th", "table", "tbody", "li", "ul", "div", "p", "html", "body", "script", "pre", "textarea", "span", "font":
				return true
			}
		}
		b = b[1:]
	}
}

// hasMarkdownRows looks for the rows of a table between bars.
func hasMarkdownRows(b []byte) bool {
	rows := 0
	for line := range bytes.Lines(b) {
		line = trimSpace(line)
		// a row has bars on both sides and at least two cells
		if len(line) > 4 && line[0] == '|' && line[len(line)-1] == '|' && bytes.Count(line, []byte("|")) > 2 {
			rows++
		}
	}
	return rows > 0 || markdownRule.Match(b)
}

// sniffYAML looks for a mapping or a sequence of mappings. Lists of plain
// strings are text as well and read as that.
func sniffYAML(b []byte) bool {
	// Configurations may have a page of settings before their proxies.
	const most = 200
	n, pair, key, document := 0, false, false, false
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, " \t\r\n")
		indented := len(line) > 0 && isSpace(line[0])
		body := trimSpace(line)
		if string(body) == "---" && n == 0 {
			document = true
		}
		if len(body) == 0 || body[0] == '#' || string(body) == "---" {
			continue
		}
		// Whatever comes later is no configuration.
		if n++; n > most {
			break
		}
		switch {
		// a key alone with something under it
		case key && (indented || bytes.HasPrefix(body, []byte("- "))):
			return true
		case n == 1 && (yamlItem.Match(body) || document && yamlPair.Match(line)):
			return true
		case !indented && (n == 1 || pair) && yamlFlow.Match(body):
			return true
		case indented:
		// the first line, or one among pairs
		case yamlKey.Match(line):
			key = n == 1 || pair
			continue
		case yamlPair.Match(line):
			pair = true
		case n == 1:
			return false
		}
		key = false
	}
	return false
}

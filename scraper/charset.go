package scraper

import (
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Addresses are ASCII in every character set that matters here, so converting
// is for what is around them: wide colons and commas, the heads of columns, and
// second bytes of characters that look like brackets and quotes.

// charsetOf finds out in which character set a list is that begins with head;
// "" for UTF-8 and for what can be read like it. A byte order mark decides,
// then the bytes themselves, then what the page or the server says.
func charsetOf(head []byte, contentType string) string {
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return "utf-16le"
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return "utf-16be"
	case wide(head, 1):
		return "utf-16le"
	case wide(head, 0):
		return "utf-16be"
	case validUTF8(head):
		return ""
	}
	// windows-1252 is what that function says when it knows nothing.
	_, name, certain := charset.DetermineEncoding(head[:min(len(head), 1024)], contentType)
	if certain || name != "windows-1252" && name != "utf-8" {
		if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
			return name
		}
	}
	if isGB18030(head) {
		return "gb18030"
	}
	return ""
}

// wide reports whether many of the bytes at every second place, from the one at
// zero, are 0 and none of the others is, as in UTF-16 without a byte order mark.
func wide(head []byte, zero int) bool {
	// Text in UTF-8 holds no zero at all, so a few of them at the right places are
	// enough: the digits and line breaks that every list has, whatever else is in it.
	const shortest, most = 16, 512
	head = head[:min(len(head), most)&^1]
	if len(head) < shortest {
		return false
	}
	zeros := 0
	for i := 0; i < len(head); i += 2 {
		if head[i+1-zero] == 0 {
			return false
		}
		if head[i+zero] == 0 {
			zeros++
		}
	}
	return zeros*10 > len(head)/2*2
}

// validUTF8 forgives a character that the end of head cuts.
func validUTF8(head []byte) bool {
	for i := 0; i < utf8.UTFMax && len(head) > 0; i++ {
		if utf8.Valid(head) {
			return true
		}
		head = head[:len(head)-1]
	}
	return len(head) == 0
}

// isGB18030 reports whether head decodes without a mistake.
func isGB18030(head []byte) bool {
	// The end of head may cut a character of up to four bytes.
	for range 3 {
		out, err := simplifiedchinese.GB18030.NewDecoder().Bytes(head)
		if err == nil && !bytes.ContainsRune(out, utf8.RuneError) {
			return true
		}
		if len(head) == 0 {
			return false
		}
		head = head[:len(head)-1]
	}
	return false
}

// fromCharset converts to UTF-8. name is one that charsetOf gave.
func fromCharset(r io.Reader, name string) io.Reader {
	var e encoding.Encoding
	switch name {
	case "utf-16le":
		e = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-16be":
		e = unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	default:
		var err error
		if e, err = htmlindex.Get(name); err != nil {
			return r
		}
	}
	return transform.NewReader(r, e.NewDecoder())
}

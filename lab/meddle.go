package lab

import (
	"bytes"
	"strconv"
)

// maxMeddle bounds the part of an answer that is held to be changed or cut.
const maxMeddle = 4 << 20

// meddles reports whether plain HTTP answers do not pass as they are.
func (s *session) meddles() bool {
	switch s.as {
	case Tamper, LyingExit, CutBody, CutBodyFramed, ResetMidBody, Inject, Forger, CutLong, Compress:
		return true
	}
	return false
}

// meddle brings an answer back changed or cut; it reports whether the connection can go on.
func (s *session) meddle(h *head, up *link, method string, n int64, last bool) bool {
	body, err := readBody(up.br, n, maxMeddle)
	if err != nil {
		s.log.Debug("lab: answer body", "err", err)
		return false
	}
	h.drop("Transfer-Encoding", "Content-Length", "Trailer")
	switch {
	case s.as == Tamper:
		body = tamper(body, h.get("Content-Type"))
	case s.as == LyingExit:
		body = s.lieAbout(body)
	case s.as == Forger:
		body = reseal(s.lieAbout(body))
	case s.as == Inject:
		body = inject(body, h)
	case s.as == Compress:
		body = compress(body, h)
	case s.as == CutLong:
		if len(body) > CutLongAt {
			h.add("Connection", "close")
			s.c.Write(append(h.bytes(), body[:CutLongAt]...))
			return false
		}
	default:
		s.cut(h, body)
		return false
	}
	h.add("Content-Length", strconv.Itoa(len(body)))
	last = last || n == untilClose || n > maxMeddle
	if last {
		h.add("Connection", "close")
	}
	s.c.Write(append(h.bytes(), body...))
	return !last
}

// cut sends the first half of a body and ends the connection.
func (s *session) cut(h *head, body []byte) {
	if s.as != CutBody { // which has no length, so that the end of the connection looks like the end of the body
		h.add("Content-Length", strconv.Itoa(len(body)))
	}
	h.add("Connection", "close")
	s.c.Write(append(h.bytes(), body[:len(body)/2]...))
	if s.as == ResetMidBody {
		s.c.abort()
	}
}

// tamper changes content: an advertisement in HTML, in everything else a letter or a byte in the middle.
func tamper(body []byte, contentType string) []byte {
	if out := advertise(body, contentType); out != nil {
		return out
	}
	out := bytes.Clone(body)
	for i := range out {
		k := (len(out)/2 + i) % len(out)
		if c := out[k] | 0x20; c >= 'a' && c <= 'z' && inString(out, k) {
			out[k] ^= 0x20 // the other case: text and JSON stay well-formed
			return out
		}
	}
	if len(out) > 0 {
		out[len(out)/2] ^= 1
	}
	return out
}

// inString reports whether position k is inside a word of at least three letters,
// so that a JSON escape or a literal is not hit.
func inString(b []byte, k int) bool {
	if bytes.HasPrefix(b[k:], []byte("ull")) || bytes.HasPrefix(b[k:], []byte("rue")) || bytes.HasPrefix(b[k:], []byte("alse")) {
		return false
	}
	return k >= 1 && isLetter(b[k-1]) && k+1 < len(b) && isLetter(b[k+1])
}

// isLetter knows ASCII letters only.
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// lieAbout puts another address in place of the real exit wherever it is written.
func (s *session) lieAbout(body []byte) []byte {
	for _, real := range s.n.exits {
		body = bytes.ReplaceAll(body, []byte(real.String()), []byte(s.n.lie.String()))
	}
	return body
}

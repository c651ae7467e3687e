package lab

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
)

// advertisement is what tampering upstreams put into pages.
const advertisement = `<script src="http://ads.lab.test/a.js"></script>`

// advertise puts an advertisement into a page of HTML; nil when it is none.
func advertise(body []byte, contentType string) []byte {
	at := bytes.LastIndex(body, []byte("</body>"))
	if at < 0 || !strings.HasPrefix(contentType, "text/html") {
		return nil
	}
	return bytes.Join([][]byte{body[:at], []byte(advertisement), body[at:]}, nil)
}

// inject is advertise for answers that may be compressed; they are not afterwards.
func inject(body []byte, h *head) []byte {
	plain := body
	if h.get("Content-Encoding") == "gzip" {
		plain = gunzip(body)
	}
	out := advertise(plain, h.get("Content-Type"))
	if out == nil {
		return body
	}
	h.drop("Content-Encoding")
	return out
}

// gunzip returns what was compressed, nil when it was not.
func gunzip(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(io.LimitReader(r, maxMeddle)); err != nil {
		return nil
	}
	return out.Bytes()
}

// compress zips a body that is not.
func compress(body []byte, h *head) []byte {
	if h.get("Content-Encoding") != "" {
		return body
	}
	h.add("Content-Encoding", "gzip")
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(body) // memory does not fail
	w.Close()
	return out.Bytes()
}

// decorate adds to the head of an answer what the node adds.
func (s *session) decorate(h *head) {
	switch s.as {
	case Cookies:
		h.add("Set-Cookie", "track=1; Path=/")
	case Marked:
		h.add("Via", "1.1 lab (squid/4.10)")
		h.add("X-Cache", "MISS from lab")
	}
}

// isEdge reports whether the node is a web server of others that was listed as a proxy.
func (s *session) isEdge() bool { return s.as == StaleEdge || s.as == OwnEdge }

// customer reports whether the edge serves a host.
func (s *session) customer(host string) bool {
	host, _, _ = strings.Cut(host, ":")
	return s.as == OwnEdge && (host == "lab.test" || strings.HasSuffix(host, ".lab.test"))
}

// fromEdge answers without asking the target.
func (s *session) fromEdge(h *head) {
	if s.as == OwnEdge {
		s.answer("HTTP/1.1 403 Forbidden", "error 1034: this host is not configured on our network\n", "Server", "edge", "Connection", "close")
		return
	}
	url := "http://" + h.get("Host") + "/get"
	const kept = `{"args":{},"headers":{"Host":"judge.lab.test"},"origin":"198.51.100.9","url":`
	s.answer("HTTP/1.1 200 OK", kept+`"`+url+"\"}\n", "Age", "512", "X-Cache", "HIT", "Connection", "close")
}

// reseal puts a new checksum under a judge's answer, as anybody can, and takes
// away the HMAC, for which nobody else has the key.
func reseal(body []byte) []byte {
	const mark = `,"sum":"`
	at := bytes.LastIndex(body, []byte(mark))
	if at < 0 {
		return body
	}
	sum := sha256.Sum256(body[:at])
	return append(body[:at:at], mark+hex.EncodeToString(sum[:])+"\"}\n"...)
}

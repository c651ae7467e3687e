package lab

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The bounds of a head: bytes, and fields.
const (
	maxHead   = 64 << 10
	maxFields = 500
)

// errHead is all that can be wrong with a head, apart from failing reads.
var errHead = errors.New("not an HTTP head")

// field is one header line, as it was on the wire.
type field struct{ name, value string }

// head is the first line and the fields of a request or an answer, in order.
type head struct {
	first  [3]string // method, target, version; or version, status, reason
	fields []field
}

// readHead reads a head leniently: the lab is a peer for tests, not a model of strictness.
func readHead(br *bufio.Reader) (*head, error) {
	size := 0
	line, err := readLine(br, &size)
	if err != nil {
		return nil, err
	}
	h := &head{}
	h.first[0], line, _ = strings.Cut(line, " ")
	h.first[1], h.first[2], _ = strings.Cut(line, " ")
	if h.first[0] == "" || h.first[1] == "" {
		return nil, errHead
	}
	for {
		line, err := readLine(br, &size)
		if err != nil || line == "" {
			return h, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || len(h.fields) == maxFields {
			return nil, errHead
		}
		h.fields = append(h.fields, field{name, strings.Trim(value, " \t")})
	}
}

// readLine returns a line without its end and adds its length to size.
func readLine(br *bufio.Reader, size *int) (string, error) {
	var long []byte
	for {
		part, err := br.ReadSlice('\n')
		if *size += len(part); *size > maxHead {
			return "", errHead
		}
		if err == nil {
			line := string(part)
			if long != nil {
				line = string(append(long, part...))
			}
			return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		long = append(long, part...)
	}
}

// get returns the first value of a field, "" without one.
func (h *head) get(name string) string {
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// joined returns all values of a field, with commas between.
func (h *head) joined(name string) string {
	var values []string
	for _, f := range h.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return strings.Join(values, ",")
}

// drop removes all fields of the names.
func (h *head) drop(names ...string) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if !containsFold(names, f.name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// setHost puts the authority in place of the first Host field, or in front.
func (h *head) setHost(authority string) {
	for i, f := range h.fields {
		if strings.EqualFold(f.name, "Host") {
			h.fields[i].value = authority
			return
		}
	}
	h.fields = append([]field{{"Host", authority}}, h.fields...)
}

// add appends a field.
func (h *head) add(name, value string) { h.fields = append(h.fields, field{name, value}) }

// dropHops removes what belongs to one connection only, except the framing (RFC 9110 section 7.6.1).
func (h *head) dropHops() {
	names := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "TE", "Upgrade"}
	for n := range strings.SplitSeq(h.joined("Connection"), ",") {
		n = strings.TrimSpace(n)
		if !containsFold([]string{"Transfer-Encoding", "Content-Length", "Host"}, n) {
			names = append(names, n)
		}
	}
	h.drop(names...)
}

// bytes returns the head with the empty line behind it.
func (h *head) bytes() []byte {
	var b strings.Builder
	b.WriteString(strings.TrimRight(strings.Join(h.first[:], " "), " "))
	b.WriteString("\r\n")
	for _, f := range h.fields {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// wantsClose reports whether the connection ends after the message.
func (h *head) wantsClose(version string) bool {
	opts := strings.ToLower(h.joined("Connection") + "," + h.joined("Proxy-Connection"))
	if version == "HTTP/1.0" {
		return !strings.Contains(opts, "keep-alive")
	}
	return strings.Contains(opts, "close")
}

// The kinds of framing. A length is 0 or more.
const (
	noBody     = -1
	chunked    = -2
	untilClose = -3
)

// requestBody returns the length of a request's body, or a kind.
func (h *head) requestBody() (int64, error) {
	n, err := h.framing()
	if n == untilClose {
		n = noBody
	}
	return n, err
}

// answerBody returns the length of the body of an answer to method, or a kind.
func (h *head) answerBody(method string) (int64, error) {
	status := h.status()
	if method == "HEAD" || status < 200 || status == 204 || status == 304 {
		return noBody, nil
	}
	return h.framing()
}

// framing reads Transfer-Encoding, which wins, and Content-Length.
func (h *head) framing() (int64, error) {
	if strings.EqualFold(h.get("Transfer-Encoding"), "chunked") {
		return chunked, nil
	}
	s := h.get("Content-Length")
	if s == "" {
		return untilClose, nil
	}
	n, err := strconv.ParseUint(s, 10, 62)
	if err != nil {
		return 0, fmt.Errorf("content-length: %w", errHead)
	}
	return int64(n), nil
}

// status returns the status code of an answer, 0 when it has none.
func (h *head) status() int {
	n, _ := strconv.Atoi(h.first[1])
	return n
}

// containsFold reports whether s is in the list, whatever the case.
func containsFold(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

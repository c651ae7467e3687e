package judge

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"sort"
	"strings"
)

// Read reads an answer and says whose format it has. A checksum must fit; an
// HMAC is left to Verify. Errors match ErrForeign, ErrCut or ErrAltered; with
// the latter two Kind is what the answer seems to have been.
func Read(body []byte) (Seen, Kind, error) {
	if len(body) > MaxAnswer {
		return Seen{}, 0, fmt.Errorf("%w: over %d bytes", ErrForeign, MaxAnswer)
	}
	if marked(body) {
		s, err := readOwn(body)
		return s, Own, err
	}
	return readHTTPBin(body)
}

// Verify checks the HMAC of an answer in the own format with a key of the
// judge. Its errors match ErrAltered.
func Verify(body, key []byte) error {
	rest, sum, ok := cutSum(bytes.TrimSuffix(body, []byte(ending)), macMark)
	if !ok || !bytes.HasSuffix(body, []byte(ending)) {
		return fmt.Errorf("%w: no HMAC", ErrAltered)
	}
	if !hmac.Equal(sum, mac(key, rest)) {
		return fmt.Errorf("%w: the HMAC does not fit", ErrAltered)
	}
	return nil
}

// marked reports whether the body is, or was once, in the own format. Case is
// ignored so that a changed letter does not hide where the answer came from.
func marked(body []byte) bool {
	head := body[:min(len(body), 256)]
	return bytes.Contains(bytes.ToLower(head), []byte(`"freeway":`))
}

func readOwn(body []byte) (Seen, error) {
	if !bytes.HasSuffix(body, []byte(ending)) {
		if incomplete(body) {
			return Seen{}, ErrCut
		}
		return Seen{}, fmt.Errorf("%w: it does not end as it should", ErrAltered)
	}
	rest := bytes.TrimSuffix(body, []byte(ending))
	before, _, signed := cutSum(rest, macMark)
	if signed {
		rest = before
	}
	rest, sum, ok := cutSum(rest, sumMark)
	if !ok || !bytes.Equal(sum, checksum(rest)) {
		return Seen{}, fmt.Errorf("%w: the checksum does not fit", ErrAltered)
	}
	var p page
	if err := json.Unmarshal(append(bytes.Clone(rest), '}'), &p); err != nil || p.Version != version || !p.Remote.IsValid() {
		return Seen{}, fmt.Errorf("%w: its fields make no sense", ErrForeign)
	}
	remote := p.Remote.Unmap().WithZone("")
	return Seen{Remote: remote, Chain: []netip.Addr{remote}, Method: p.Method, Target: p.Target, Host: p.Host, Proto: p.Proto,
		Header: p.Header, Closed: p.Closed[:min(len(p.Closed), maxClosed)], Nonce: p.Nonce, TLS: p.TLS, Signed: signed}, nil
}

// cutSum takes a checksum off the end of b.
func cutSum(b []byte, mark string) (rest, sum []byte, ok bool) {
	at := len(b) - digits - len(`"`) - len(mark)
	if at < 0 || !bytes.HasPrefix(b[at:], []byte(mark)) || b[len(b)-1] != '"' {
		return b, nil, false
	}
	text := b[at+len(mark) : len(b)-1]
	sum = make([]byte, digits/2)
	// Only the lower case is written: everything in an answer has one form.
	if _, err := hex.Decode(sum, text); err != nil || bytes.ContainsAny(text, "ABCDEF") {
		return b, nil, false
	}
	return b[:at], sum, true
}

// incomplete reports whether body is the beginning of a JSON value whose end is missing.
func incomplete(body []byte) bool {
	var v json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(body)).Decode(&v), io.ErrUnexpectedEOF)
}

// readHTTPBin reads {"origin": "1.2.3.4, 5.6.7.8", "headers": {...}, "args": {...}, "url": "..."}.
// Names are compared exactly; other names are ignored.
func readHTTPBin(body []byte) (Seen, Kind, error) {
	var v map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&v); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && hinted(body) {
			return Seen{}, HTTPBin, ErrCut
		}
		return Seen{}, 0, fmt.Errorf("%w: no JSON object", ErrForeign)
	}
	s, err := httpBinFields(v)
	if err != nil {
		return Seen{}, 0, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if rest := body[dec.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return Seen{}, HTTPBin, fmt.Errorf("%w: something follows it", ErrAltered)
	}
	return s, HTTPBin, nil
}

// hinted reports whether the beginning of a JSON object names what httpbin answers.
func hinted(body []byte) bool {
	for _, name := range []string{`"args"`, `"headers"`, `"origin"`} {
		if bytes.Contains(body, []byte(name)) {
			return true
		}
	}
	return false
}

func httpBinFields(v map[string]json.RawMessage) (Seen, error) {
	var s Seen
	var origin, location string
	if json.Unmarshal(v["origin"], &origin) != nil {
		return s, errors.New("no origin")
	}
	if s.Chain = originAddrs(origin); len(s.Chain) == 0 {
		return s, errors.New("no address in origin")
	}
	s.Remote = s.Chain[len(s.Chain)-1]
	headers, err := multiMap(v["headers"])
	if err != nil {
		return s, errors.New("no headers")
	}
	for _, f := range headers {
		if strings.EqualFold(f.Name, "Host") {
			s.Host = f.Value
		} else {
			s.Header = append(s.Header, f)
		}
	}
	if json.Unmarshal(v["url"], &location) == nil {
		if u, err := url.Parse(location); err == nil {
			s.Target, s.TLS = u.RequestURI(), u.Scheme == "https"
		}
	}
	s.Nonce = argNonce(v["args"])
	if err := json.Unmarshal(v["method"], &s.Method); err != nil {
		s.Method = ""
	}
	return s, nil
}

// originAddrs reads a list of addresses. Parts that are none are left out.
func originAddrs(origin string) []netip.Addr {
	var out []netip.Addr
	for part := range strings.SplitSeq(origin, ",") {
		part = strings.TrimSpace(part)
		a, err := netip.ParseAddr(part)
		if err != nil {
			ap, err := netip.ParseAddrPort(part)
			if err != nil {
				continue
			}
			a = ap.Addr()
		}
		out = append(out, a.Unmap().WithZone(""))
	}
	return out
}

// argNonce returns the nonce among the arguments when there is exactly one.
func argNonce(raw json.RawMessage) string {
	args, err := multiMap(raw)
	if err != nil {
		return ""
	}
	var found []string
	for _, f := range args {
		if f.Name == NonceKey {
			found = append(found, f.Value)
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// multiMap reads an object whose values are strings or arrays of strings, sorted by name.
func multiMap(raw json.RawMessage) ([]Field, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errors.New("null")
	}
	var out []Field
	for name, v := range m {
		var one string
		if json.Unmarshal(v, &one) == nil {
			out = append(out, Field{name, one})
			continue
		}
		var many []string
		if err := json.Unmarshal(v, &many); err != nil {
			return nil, err
		}
		for _, one := range many {
			out = append(out, Field{name, one})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

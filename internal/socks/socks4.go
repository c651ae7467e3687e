package socks

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// Client4 asks the server behind rw to connect to an address; a name goes to the
// server, as SOCKS4a. After nil the next byte from rw is the target's. IPv6 is
// ErrAddress. Errors otherwise: *ReplyError, ErrProtocol, ErrAuth for a user id
// that cannot be sent, those of rw.
func Client4(rw io.ReadWriter, to Addr, user string) error {
	if len(user) > maxName || strings.IndexByte(user, 0) >= 0 {
		return fmt.Errorf("%w: a user id over 255 bytes or with a zero byte", ErrAuth)
	}
	b, err := appendRequest4(make([]byte, 0, 10+len(user)+len(to.Name)), to, user)
	if err != nil {
		return err
	}
	if _, err := rw.Write(b); err != nil {
		return err
	}
	return readReply4(rw, b[:8])
}

// appendRequest4 builds a CONNECT request. An address of the form 0.0.0.x says
// that a name follows, so it cannot be sent itself.
func appendRequest4(b []byte, to Addr, user string) ([]byte, error) {
	ip, name := to.IP.Unmap(), ""
	if !ip.IsValid() {
		ip, name = netip.AddrFrom4([4]byte{0, 0, 0, 1}), to.Name
		if !validName(name) {
			return nil, fmt.Errorf("%w: not a host name", ErrAddress)
		}
	} else if !ip.Is4() || isName4(ip.As4()) {
		return nil, fmt.Errorf("%w: SOCKS4 carries IPv4 addresses and names", ErrAddress)
	}
	a := ip.As4()
	b = append(b, version4, CmdConnect, byte(to.Port>>8), byte(to.Port), a[0], a[1], a[2], a[3])
	b = append(append(b, user...), 0)
	if name != "" {
		b = append(append(b, name...), 0)
	}
	return b, nil
}

// isName4 reports whether the address field means that a name follows.
func isName4(a [4]byte) bool { return a[0] == 0 && a[1] == 0 && a[2] == 0 && a[3] != 0 }

// readReply4 reads the eight bytes of an answer, but two are enough for a refusal.
func readReply4(r io.Reader, b []byte) error {
	n, err := io.ReadAtLeast(r, b, 1)
	if err != nil {
		return err
	}
	if b[0] != 0 {
		return protocolError("the reply does not begin with zero")
	}
	if n < 2 {
		if err := readRest(r, b[1:2]); err != nil {
			return err
		}
		n = 2
	}
	switch code := Reply4(b[1]); {
	case code == Granted:
		return readRest(r, b[n:])
	case code > Granted && code <= BadIdent:
		return &ReplyError{version4, byte(code)}
	}
	return protocolError("an unknown reply code")
}

// ReadRequest4 reads a client's request. Commands are not judged. It asks r for
// single bytes where strings end with a zero byte, so r should be buffered.
func ReadRequest4(r io.Reader) (Request, error) {
	var b [maxName + 1]byte
	if err := readVersion(r, b[:8], version4); err != nil {
		return Request{}, err
	}
	q := Request{Version: version4, Command: b[1]}
	q.Addr.Port = uint16(b[2])<<8 | uint16(b[3])
	a := [4]byte(b[4:8])
	var err error
	if q.User, err = readString(r, b[:]); err != nil {
		return Request{}, err
	}
	if !isName4(a) {
		q.Addr.IP = netip.AddrFrom4(a)
		return q, nil
	}
	if q.Addr.Name, err = readString(r, b[:]); err != nil {
		return Request{}, err
	}
	if !validName(q.Addr.Name) {
		return Request{}, protocolError("a bad host name")
	}
	return q, nil
}

// WriteReply4 answers a request.
func WriteReply4(w io.Writer, code Reply4) error {
	_, err := w.Write([]byte{0, byte(code), 0, 0, 0, 0, 0, 0})
	return err
}

// readString reads up to and with a zero byte, which it leaves out; b has room for the longest string.
func readString(r io.Reader, b []byte) (string, error) {
	for i := range b {
		if err := readRest(r, b[i:i+1]); err != nil {
			return "", err
		}
		if b[i] == 0 {
			return string(b[:i]), nil
		}
	}
	return "", protocolError("a string over 255 bytes")
}

package socks

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Address types (RFC 1928 section 4) and the version of the login (RFC 1929).
const (
	typeIPv4  = 1
	typeName  = 3
	typeIPv6  = 4
	loginV1   = 1
	loginOK   = 0
	loginFail = 1
)

// maxMessage is the longest message of a client: a login with two strings of 255 bytes.
const maxMessage = 3 + 2*maxName

// Client5 asks the server behind rw to connect to an address. Credentials are
// offered when user or password is not empty, and sent only when the server asks
// for them. After nil the next byte from rw is the target's. Errors: *ReplyError,
// ErrAuth, ErrProtocol, ErrAddress, those of rw.
func Client5(rw io.ReadWriter, to Addr, user, password string) error {
	if len(user) > maxName || len(password) > maxName {
		return fmt.Errorf("%w: over 255 bytes", ErrAuth)
	}
	request, err := appendAddr(append(make([]byte, 0, 22+len(to.Name)), version5, CmdConnect, 0), to)
	if err != nil {
		return err
	}
	method, err := negotiate(rw, make([]byte, 0, 4), user != "" || password != "")
	if err != nil {
		return err
	}
	b := make([]byte, 0, maxMessage) // not before the server has spoken: many never do
	if method == UserPass {
		if err := login(rw, b, user, password); err != nil {
			return err
		}
	}
	if _, err := rw.Write(request); err != nil {
		return err
	}
	return readReply5(rw, b)
}

// negotiate offers the methods and returns the one that the server chose.
func negotiate(rw io.ReadWriter, b []byte, credentials bool) (byte, error) {
	b = append(b[:0], version5, 1, NoAuth)
	if credentials {
		b = append(b[:0], version5, 2, NoAuth, UserPass)
	}
	if _, err := rw.Write(b); err != nil {
		return 0, err
	}
	// One byte can show that this is no SOCKS5; a short banner must not cost the whole deadline.
	answer := b[:2]
	n, err := io.ReadAtLeast(rw, answer, 1)
	if err != nil {
		return 0, err
	}
	if answer[0] != version5 {
		return 0, protocolError("the answer to the greeting has another version")
	}
	if err := readRest(rw, answer[n:]); err != nil {
		return 0, err
	}
	switch m := answer[1]; {
	case m == NoAuth, m == UserPass && credentials:
		return m, nil
	case m == NoAcceptable, m == UserPass:
		return 0, ErrAuth
	}
	return 0, protocolError("a method that was not offered")
}

// login sends the credentials. Servers that put 5 for the version of their
// answer are common enough that curl does not look at it either.
func login(rw io.ReadWriter, b []byte, user, password string) error {
	b = append(b[:0], loginV1, byte(len(user)))
	b = append(b, user...)
	b = append(b, byte(len(password)))
	b = append(b, password...)
	if _, err := rw.Write(b); err != nil {
		return err
	}
	answer := b[:2]
	if err := readRest(rw, answer); err != nil {
		return err
	}
	switch {
	case answer[0] != loginV1 && answer[0] != version5:
		return protocolError("the answer to the login has another version")
	case answer[1] != loginOK:
		return ErrAuth
	}
	return nil
}

// readReply5 reads the answer to a request. Of a refusal it reads no more than
// there may be: some servers send two bytes and close.
func readReply5(r io.Reader, b []byte) error {
	b = b[:4]
	n, err := io.ReadAtLeast(r, b, 2)
	if err != nil {
		return early(err)
	}
	if b[0] != version5 {
		return protocolError("the reply has another version")
	}
	if b[1] != byte(Succeeded) {
		return &ReplyError{version5, b[1]}
	}
	if err := readRest(r, b[n:]); err != nil {
		return err
	}
	if b[2] != 0 {
		return protocolError("the reserved byte of the reply is not zero")
	}
	_, err = readAddrBytes(r, b[3], b[:maxName+2]) // the bound address says nothing to a client of CONNECT
	return err
}

// ReadGreeting5 reads a client's greeting and returns the methods that it offers.
func ReadGreeting5(r io.Reader) (methods []byte, err error) {
	var head [2]byte
	if err := readVersion(r, head[:], version5); err != nil {
		return nil, err
	}
	methods = make([]byte, head[1])
	if err := readRest(r, methods); err != nil {
		return nil, err
	}
	if len(methods) == 0 {
		return nil, protocolError("a greeting without methods")
	}
	return methods, nil
}

// WriteMethod5 answers a greeting. After NoAcceptable the server closes.
func WriteMethod5(w io.Writer, method byte) error {
	_, err := w.Write([]byte{version5, method})
	return err
}

// ReadLogin5 reads a client's user and password. RFC 1929 demands a byte of
// each, but clients with an empty password exist: both may be empty here.
func ReadLogin5(r io.Reader) (user, password string, err error) {
	var b [maxName + 1]byte
	if err := readVersion(r, b[:2], loginV1); err != nil {
		return "", "", err
	}
	n := int(b[1])
	if err := readRest(r, b[:n+1]); err != nil { // with the length of the password
		return "", "", err
	}
	user, n = string(b[:n]), int(b[n])
	if err := readRest(r, b[:n]); err != nil {
		return "", "", err
	}
	return user, string(b[:n]), nil
}

// WriteLogin5 answers a login. After a refusal the server closes.
func WriteLogin5(w io.Writer, ok bool) error {
	status := byte(loginFail)
	if ok {
		status = loginOK
	}
	_, err := w.Write([]byte{loginV1, status})
	return err
}

// ReadRequest5 reads a client's request. Commands are not judged; an unknown
// address type is ErrAddressType, a name that cannot be one is ErrProtocol.
func ReadRequest5(r io.Reader) (Request, error) {
	var b [maxName + 2]byte
	if err := readVersion(r, b[:4], version5); err != nil {
		return Request{}, err
	}
	if b[2] != 0 {
		return Request{}, protocolError("the reserved byte of the request is not zero")
	}
	q := Request{Version: version5, Command: b[1]}
	var err error
	q.Addr, err = readAddr(r, b[3], b[:])
	return q, err
}

// WriteReply5 answers a request. bound is the address that the server uses for
// the connection; the zero Addr, or one that does not fit, is written as 0.0.0.0:0.
func WriteReply5(w io.Writer, code Reply, bound Addr) error {
	b := append(make([]byte, 0, 22), version5, byte(code), 0)
	full, err := appendAddr(b, bound)
	if err != nil {
		full = append(b, typeIPv4, 0, 0, 0, 0, 0, 0)
	}
	_, err = w.Write(full)
	return err
}

// readVersion fills b, whose first byte is the version. io.EOF: nothing came.
func readVersion(r io.Reader, b []byte, version byte) error {
	n, err := io.ReadAtLeast(r, b, 1)
	if err != nil {
		return err
	}
	if b[0] != version {
		return protocolError("another version")
	}
	return readRest(r, b[n:])
}

// readAddr reads an address of the given type and the port. b is scratch space of maxName + 2 bytes.
func readAddr(r io.Reader, kind byte, b []byte) (Addr, error) {
	n, err := readAddrBytes(r, kind, b)
	if err != nil {
		return Addr{}, err
	}
	a := Addr{Port: uint16(b[n])<<8 | uint16(b[n+1])}
	if kind != typeName {
		ip, _ := netip.AddrFromSlice(b[:n])
		a.IP = ip.Unmap()
		return a, nil
	}
	a.Name = string(b[:n])
	if !validName(a.Name) {
		return Addr{}, protocolError("a bad host name")
	}
	return a, nil
}

// readAddrBytes puts the address into b, the port behind it, and returns how long the address is.
func readAddrBytes(r io.Reader, kind byte, b []byte) (int, error) {
	size := 0
	switch kind {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeName:
		if err := readRest(r, b[:1]); err != nil {
			return 0, err
		}
		size = int(b[0])
	default:
		return 0, ErrAddressType
	}
	return size, readRest(r, b[:size+2])
}

// appendAddr appends type, address and port.
func appendAddr(b []byte, a Addr) ([]byte, error) {
	ip := a.IP.Unmap()
	switch {
	case ip.Zone() != "":
		return b, fmt.Errorf("%w: it has a zone", ErrAddress)
	case ip.Is4():
		b = append(append(b, typeIPv4), ip.AsSlice()...)
	case ip.Is6():
		b = append(append(b, typeIPv6), ip.AsSlice()...)
	case validName(a.Name):
		b = append(append(b, typeName, byte(len(a.Name))), a.Name...)
	default:
		return b, fmt.Errorf("%w: not a host name", ErrAddress)
	}
	return append(b, byte(a.Port>>8), byte(a.Port)), nil
}

// early is the error of a message of which nothing, or not enough, came.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

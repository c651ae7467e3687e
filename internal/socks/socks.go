package socks

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
)

// Commands of a request. A server that does not know one answers CommandNotSupported.
const (
	CmdConnect byte = 1
	CmdBind    byte = 2
	CmdUDP     byte = 3 // SOCKS5 only
)

// Methods of authentication in SOCKS5 (RFC 1928 section 3).
const (
	NoAuth       byte = 0
	UserPass     byte = 2    // RFC 1929
	NoAcceptable byte = 0xFF // the server's word that none of those offered will do
)

// Reply is the answer field of SOCKS5 (RFC 1928 section 6).
type Reply byte

// The answers of SOCKS5.
const (
	Succeeded Reply = iota
	GeneralFailure
	NotAllowed // by the server's rules
	NetworkUnreachable
	HostUnreachable
	Refused
	TTLExpired
	CommandNotSupported
	AddressNotSupported
)

var replyNames = [...]string{"succeeded", "general failure", "not allowed", "network unreachable", "host unreachable",
	"connection refused", "TTL expired", "command not supported", "address type not supported"}

// String returns the meaning in words.
func (c Reply) String() string {
	if int(c) < len(replyNames) {
		return replyNames[c]
	}
	return "reply " + strconv.Itoa(int(c))
}

// Reply4 is the answer field of SOCKS4.
type Reply4 byte

// The answers of SOCKS4.
const (
	Granted  Reply4 = 90 + iota
	Rejected        // or failed
	NoIdentd        // the server cannot ask the client's identd
	BadIdent        // identd names another user
)

var reply4Names = [...]string{"granted", "rejected or failed", "no identd", "identd disagrees"}

// String returns the meaning in words.
func (c Reply4) String() string {
	if c >= Granted && c <= BadIdent {
		return reply4Names[c-Granted]
	}
	return "reply " + strconv.Itoa(int(c))
}

// Addr is where a request wants to go.
type Addr struct {
	IP   netip.Addr // never IPv4-mapped when it was read by this package
	Name string     // used when IP is not valid; 1 to 255 visible ASCII bytes
	Port uint16
}

// String returns host:port, IPv6 in brackets.
func (a Addr) String() string {
	host := a.Name
	if a.IP.IsValid() {
		host = a.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(a.Port)))
}

// Request is what a client asks a server for.
type Request struct {
	Version byte // 4 or 5
	Command byte // any value; see CmdConnect
	Addr    Addr
	User    string // user id of SOCKS4; SOCKS5 sends it before the request
}

// ReplyError is a well-formed refusal by the server.
type ReplyError struct {
	Version byte // 4 or 5
	Code    byte // a Reply or a Reply4
}

// Error prints the code in words.
func (e *ReplyError) Error() string {
	if e.Version == version4 {
		return "socks4: " + Reply4(e.Code).String()
	}
	return "socks5: " + Reply(e.Code).String()
}

// What callers branch on. Errors of the connection itself are returned as they
// are; a message that ends early is io.ErrUnexpectedEOF, none at all io.EOF.
var (
	ErrProtocol    = errors.New("socks: not the protocol")                             // the peer speaks something else or breaks the rules
	ErrAuth        = errors.New("socks: login refused or credentials needed")          // also credentials that cannot be sent
	ErrAddressType = fmt.Errorf("%w: unknown address type", ErrProtocol)               // a server answers AddressNotSupported
	ErrAddress     = errors.New("socks: the address cannot be sent with this version") // found before anything is written
)

const (
	version4   = 4
	version5   = 5
	maxName    = 255 // what the length byte of SOCKS5 can say; taken for the strings of SOCKS4 as well
	firstASCII = '!' // visible ASCII begins here
	lastASCII  = '~'
)

// protocolError is ErrProtocol with what was wrong. msg holds no bytes of the peer.
func protocolError(msg string) error { return fmt.Errorf("%w: %s", ErrProtocol, msg) }

// readRest is io.ReadFull inside a message, where an end is always too early.
func readRest(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// validName refuses what could end a line or a string further on, and what no host name holds.
func validName(s string) bool {
	for i := range len(s) {
		if s[i] < firstASCII || s[i] > lastASCII {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

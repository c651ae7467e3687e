package scraper

import (
	"bytes"
	"strings"
	"unicode"
)

// role is what a key of an object or the head of a column says about its values.
// The order of the host roles is by how much they are worth: of several fields,
// the address is better than a name that may resolve to something else.
type role uint8

const (
	roleNone role = iota
	roleName      // a host's name; what is above it is better
	roleHost
	roleAddr
	roleIP
	rolePort
	roleProto
	roleUser
	rolePass
	roleWhole // address and port in one
	roleHTTP  // whether it speaks it, or what is under it does
	roleHTTPS
	roleSOCKS4
	roleSOCKS5
	roleTLS
	roleLink    // the address of something, seldom of a proxy
	roleSkip    // addresses that are not of proxies
	roleForeign // only what other kinds of tunnels have
	roleCountry // see claims.go
	roleGrade   // of anonymity
)

func (r role) isHost() bool { return r >= roleName && r <= roleIP }
func (r role) isFlag() bool { return r >= roleHTTP && r <= roleSOCKS5 }

// set returns the protocol of a flag.
func (r role) set() protoSet {
	if !r.isFlag() {
		return 0
	}
	return setHTTP << (r - roleHTTP)
}

// keyRole finds the role of a key or the head of a column, however it is
// spelled: "ip_address", "IP Address", "ipAddress".
func keyRole(key []byte) role {
	var low [32]byte
	// Letters and digits only, in lower case; keys that are longer say nothing.
	n, beyond := 0, false
	for _, c := range key {
		switch {
		case n == len(low):
			return roleNone
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c >= 0x80:
			beyond = true
		case !isDigit(c) && !isLetter(c):
			continue
		}
		low[n] = c
		n++
	}
	if beyond { // arrows and flags are no part of a word
		return wordRole(bytes.Map(func(r rune) rune {
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				return -1
			}
			return unicode.ToLower(r)
		}, low[:n]))
	}
	return wordRole(low[:n])
}

// wordRole knows the words themselves, in lower case, without what is between
// letters and digits.
func wordRole(w []byte) role {
	switch string(w) {
	// the spellings that were seen, in the languages that were seen
	case "ip", "ipaddress", "ipaddr", "ipadress", "proxyip", "proxyipaddress", "ipv4", "ipv6", "serverip", "ip地址", "代理ip", "代理ip地址",
		"ipадрес", "ipадреспрокси", "direcciónip", "adresseip", "ipadresse", "indirizzoip", "endereçoip",
		"ipアドレス", "ipadresi", "địachỉip", "adresip", "ipadres", "ip주소", "ipадреса", "alamatip", "ip位址", "代理ip位址", "айпи", "айпиадрес":
		return roleIP
	// may hold the port as well
	case "addr", "address", "proxyaddress", "proxyaddr", "adresse", "adress", "адрес", "адреспрокси", "地址", "代理地址":
		return roleAddr
	// names or addresses; "server" is the key of Clash
	case "host", "server", "proxyhost", "proxyserver", "serveraddress", "хост", "主机", "服务器":
		return roleHost
	// often the reverse name of the address beside it
	case "hostname", "domain", "dnsname":
		return roleName
	case "port", "ports", "proxyport", "serverport", "portnumber", "端口", "端口号", "代理端口", "порт", "puerto", "porta", "porto",
		"ポート", "ポート番号", "cổng", "poort", "포트", "埠", "連接埠", "端口號":
		return rolePort
	// "version" is a column of lists of SOCKS proxies
	case "protocol", "protocols", "proto", "protos", "type", "types", "proxytype", "proxytypes", "scheme", "schemes", "siteprotocol",
		"protocoltype", "proxyprotocol", "version", "socksversion", "类型", "协议", "代理类型", "协议类型", "тип", "протокол", "протоколы", "tipo", "protocolo", "protocole",
		"プロトコル", "タイプ", "tür", "protokol", "giaothức", "typ", "protokoll", "protokół", "프로토콜", "유형", "類型", "協議", "協定", "通訊協定", "代理協議", "代理协议", "jenis":
		return roleProto
	// only together with a password
	case "user", "username", "login", "proxyuser", "proxyusername", "用户名", "логин":
		return roleUser
	case "pass", "password", "passwd", "pwd", "proxypass", "proxypassword", "密码", "пароль":
		return rolePass
	}
	return moreRole(w)
}

// moreRole is the second half of wordRole.
func moreRole(w []byte) role {
	switch string(w) {
	// a string that is an entry by itself
	case "proxy", "proxies", "proxyurl", "proxyurls", "proxyuri", "proxystring", "ipport", "ipandport", "ipaddressport", "hostport", "addressport", "addrport",
		"endpoint", "endpoints", "connectstring", "connectionstring", "connection", "proxylist", "proxyipport", "uri", "value", "item", "line", "entry",
		"raw", "full", "string", "list", "代理", "прокси":
		return roleWhole
	case "http":
		return roleHTTP
	// whether it can CONNECT, by which lists call it https
	case "https", "ssl", "supportshttps", "supporthttps", "httpssupport", "ishttps", "sslsupport":
		return roleHTTPS
	case "socks4", "socksv4":
		return roleSOCKS4
	case "socks5", "socksv5":
		return roleSOCKS5
	case "tls":
		return roleTLS
	case "url", "link", "href":
		return roleLink
	case "secret", "cipher", "method", "alterid":
		return roleForeign
	case "country", "countrycode", "countryiso", "countryisocode", "cc", "code", "isocode", "countryname", "国家", "страна", "país", "pais", "pays", "land", "国":
		return roleCountry
	case "anonymity", "anonymitylevel", "anon", "anonlevel", "level", "anonymous", "proxylevel", "匿名度", "匿名等级", "анонимность", "anonymität", "anonimato":
		return roleGrade
	// where a list comes from, who looked at it, what it was checked with, and the
	// sections of configurations that name other machines
	case "source", "sources", "query", "client", "visitor", "requester", "referer", "referrer", "judge", "judges", "judgeurl", "dns", "nameserver", "nameservers", "fallback", "clientip", "myip",
		"yourip", "realip", "externalip", "outip", "outboundip", "outgoingip", "outgoing", "remoteaddr", "remoteip", "resolvedip", "lastip", "cidr", "route", "routes",
		"rules", "ruleproviders", "proxyproviders", "hosts", "checker", "checkedby", "testurl", "urls", "xforwardedfor", "via", "headers", "resolver", "resolvers",
		"defaultnameserver", "listen", "externalcontroller", "bind", "bindaddress", "detour", "subnet", "network", "networks", "gateway":
		return roleSkip
	}
	// exit_ip, exitPort, export_address, egress, origin, originIP
	for _, prefix := range []string{"exit", "export", "egress", "origin"} {
		if strings.HasPrefix(string(w), prefix) {
			return roleSkip
		}
	}
	return roleNone
}

// words reads the protocols that a value of a protocol column names among other
// words, such as "SOCKS4 SOCKS5 elite"; other is a protocol that is not spoken.
func words(b []byte) (p protoSet, other string) {
	// The whole value first: "socks4/5" is not two words.
	if p = protocolWord(b); p != 0 {
		return p, ""
	}
	for i := 0; i < len(b); {
		j := wordEnd(b, i)
		switch w := b[i:j]; {
		case j == i:
			j++
		case otherProtocol(string(w)):
			other = strings.ToLower(string(w))
		default:
			var one protoSet
			one, j = protocolAt(b, i)
			p |= one
		}
		i = j
	}
	// One that is spoken is enough.
	if p != 0 {
		other = ""
	}
	return p, other
}

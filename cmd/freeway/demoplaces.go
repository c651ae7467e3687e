package main

import (
	"fmt"
	"net/netip"
)

// demoCountries are where the simulated exits stand: those where public lists
// find most of theirs, the first ones more often.
var demoCountries = [...]string{"US", "US", "US", "DE", "DE", "FR", "SG", "SG", "ID", "ID", "BR", "IN", "VN", "RU", "CN", "GB", "NL", "PL", "JP", "CO"}

// demoPlace invents a place for an exit of the demo, which are all on loopback:
// each /24 is a network in some country.
func demoPlace(exit netip.Addr) (country string, asn uint32, org string) {
	if !exit.Is4() {
		return "", 0, ""
	}
	a := exit.As4()
	mixed := (uint32(a[1])<<8 | uint32(a[2])) * 2654435761 >> 16 // neighbours differ (Knuth's multiplicative hash)
	asn = 64512 + mixed%1023                                     // for private use, RFC 6996
	return demoCountries[mixed%uint32(len(demoCountries))], asn, fmt.Sprintf("Simulated network %d", asn)
}

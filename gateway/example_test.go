package gateway_test

import (
	"fmt"

	"freeway/gateway"
)

func ExampleParseUser() {
	name, o, err := gateway.ParseUser("bob-country-us,de-session-a1-ttl-30")
	fmt.Println(name, o.Filter.Countries, o.Session, o.TTL, err)
	_, _, err = gateway.ParseUser("bob-county-us")
	fmt.Println(err != nil)
	// Output:
	// bob [US DE] a1 30m0s <nil>
	// true
}

package scraper

import (
	"strings"

	"freeway/proxy"
)

// claims is what a list says of an entry besides where it is. Nothing of the
// list's own text is in it: a country is a code of the table below, and
// anonymity one of three grades. Only columns and keys that are named for them
// count; other words of a line are not looked at.
type claims struct {
	country uint8 // from 1, a place in countries; 0: not said
	grade   proxy.Anonymity
}

// countries are the codes of ISO 3166-1 alpha-2, two letters each.
const countries = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZ" +
	"DEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJP" +
	"KEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZ" +
	"OMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZ" +
	"UAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW"

// traits turns claims into what candidates hold.
func (c claims) traits() proxy.Traits {
	t := proxy.Traits{Anonymity: c.grade}
	if i := int(c.country) * 2; i > 0 {
		t.Country = countries[i-2 : i]
	}
	return t
}

// say adds the value of a column or key.
func (c *claims) say(r role, b []byte) {
	switch r {
	case roleCountry:
		if n := countryOf(trimMarks(b)); n != 0 {
			c.country = n
		}
	case roleGrade:
		if g := gradeOf(trimMarks(b)); g != proxy.AnonymityUnknown {
			c.grade = g
		}
	}
}

// over fills in what c does not say with what is known around it.
func (c claims) over(around claims) claims {
	if c.country == 0 {
		c.country = around.country
	}
	if c.grade == proxy.AnonymityUnknown {
		c.grade = around.grade
	}
	return c
}

// countryOf reads a code, or one of the names that lists write most.
func countryOf(b []byte) uint8 {
	const longest = 24
	if len(b) < 2 || len(b) > longest {
		return 0
	}
	var code [2]byte
	if len(b) == 2 {
		code = [2]byte{b[0] &^ 0x20, b[1] &^ 0x20}
	} else if s := countryNamed(strings.ToLower(string(b))); s != "" {
		code = [2]byte{s[0], s[1]}
	}
	if code == [2]byte{'U', 'K'} {
		code = [2]byte{'G', 'B'}
	}
	for i := 0; i < len(countries); i += 2 {
		if countries[i] == code[0] && countries[i+1] == code[1] {
			return uint8(i/2 + 1)
		}
	}
	return 0
}

// countryNamed knows the English names of the countries from which most public
// proxies are, in lower case.
func countryNamed(s string) string {
	switch s {
	case "united states", "united states of america", "usa":
		return "US"
	case "united kingdom", "great britain":
		return "GB"
	case "south korea", "korea, republic of", "republic of korea":
		return "KR"
	case "russia", "russian federation":
		return "RU"
	case "vietnam", "viet nam":
		return "VN"
	case "iran", "iran, islamic republic of":
		return "IR"
	case "hong kong":
		return "HK"
	case "czechia", "czech republic":
		return "CZ"
	case "the netherlands", "netherlands":
		return "NL"
	case "turkey", "türkiye":
		return "TR"
	}
	const names = "|argentina AR|australia AU|austria AT|bangladesh BD|belgium BE|brazil BR|bulgaria BG|cambodia KH|canada CA|chile CL|china CN|colombia CO" +
		"|dominican republic DO|ecuador EC|egypt EG|finland FI|france FR|germany DE|greece GR|guatemala GT|honduras HN|hungary HU|india IN|indonesia ID|iraq IQ" +
		"|ireland IE|israel IL|italy IT|japan JP|kazakhstan KZ|kenya KE|latvia LV|lebanon LB|libya LY|lithuania LT|malaysia MY|mexico MX|moldova MD|mongolia MN" +
		"|morocco MA|myanmar MM|nepal NP|nigeria NG|norway NO|pakistan PK|paraguay PY|peru PE|philippines PH|poland PL|portugal PT|romania RO|saudi arabia SA" +
		"|serbia RS|singapore SG|slovakia SK|south africa ZA|spain ES|sweden SE|switzerland CH|taiwan TW|thailand TH|tunisia TN|uganda UG|ukraine UA|uzbekistan UZ|venezuela VE|"
	if strings.ContainsAny(s, "|") {
		return ""
	}
	at := strings.Index(names, "|"+s+" ")
	// "saudi" is no name: two letters and a bar must follow.
	if end := at + len(s) + 2; at >= 0 && names[end+2] == '|' {
		return names[end : end+2]
	}
	return ""
}

// gradeOf reads the words of lists for anonymity, in the languages that were
// seen. Numbers mean different things at different sites and say nothing.
func gradeOf(b []byte) proxy.Anonymity {
	const longest = 24
	if len(b) < 2 || len(b) > longest {
		return proxy.AnonymityUnknown
	}
	switch s := strings.ToLower(string(b)); s {
	case "transparent", "transparent proxy", "noa", "none", "透明", "透明代理", "прозрачный":
		return proxy.Transparent
	case "anonymous", "anonymous proxy", "anon", "anm", "medium", "average", "distorting", "匿名", "普匿", "普通匿名", "анонимный":
		return proxy.Anonymous
	case "elite", "elite proxy", "high", "hia", "high anonymity", "high anonymous", "high_anonymous", "highly anonymous", "high_anonymity", "高匿", "高匿名", "高匿代理", "高匿名代理", "элитный":
		return proxy.Elite
	}
	return proxy.AnonymityUnknown
}

package config

// EveryKey calls see with the path of each key of the contract, as the manual
// spells it, and whether this version refuses it.
func EveryKey(see func(path string, refused bool)) {
	for place, keys := range tables {
		for _, k := range keys {
			path := k.name
			if place != "" {
				path = place + "." + k.name
			}
			see(path, k.refused != "")
		}
	}
}

// FixedKeys are the keys that cannot change while the server runs.
func FixedKeys() []string {
	var all []string
	for _, s := range (&Config{}).fixed() {
		all = append(all, s.key)
	}
	return all
}

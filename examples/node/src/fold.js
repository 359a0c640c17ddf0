const special = { ß: "ss", æ: "ae", ø: "o", ł: "l" };

/** Writes a text without accents, in small letters. */
export function fold(text) {
  const plain = text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");
  return plain.replace(/[ßæøł]/g, (letter) => special[letter]);
}

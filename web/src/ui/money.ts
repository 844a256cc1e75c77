// Dollars as people read them. Amounts travel as exact decimal strings; what is rounded here is only shown.

/** `$1,234.56`, `$0.0042`, `$0.00`: cents above a dollar, below it enough digits to tell amounts apart. */
export function dollarsText(amount: string | number): string {
  const usd = Number(amount);
  if (usd === 0) return "$0.00";
  const small = Math.abs(usd) < 1;
  return usd.toLocaleString("en-US", {
    style: "currency",
    currency: "USD",
    minimumFractionDigits: 2,
    ...(small ? { maximumSignificantDigits: 2, minimumSignificantDigits: 1 } : { maximumFractionDigits: 2 }),
  });
}

/** `12,345`, `1.2 million`: a count in a table or a sentence. */
export function countText(count: number): string {
  return count >= 10_000_000
    ? count.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 1 })
    : count.toLocaleString("en-US");
}

/**
 * What a person typed as an amount in dollars, as the API takes it; null when it is none.
 * `2,50` is read as it is meant; `1,000` could be one or a thousand, so it is none.
 */
export function amountFrom(text: string): string | null {
  if (/,\d{3}$/.test(text.trim())) return null;
  const plain = text
    .trim()
    .replace(/^\$\s*/, "")
    .replace(",", ".");
  return /^\d{1,9}(\.\d{1,12})?$/.test(plain) ? plain : null;
}

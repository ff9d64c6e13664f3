const main = document.querySelector("main");
const answer = await fetch("/api/orders" + location.search);
main.textContent = `${location.pathname}: the API answered ${answer.status}`;

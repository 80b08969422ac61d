/* Shows the offer of the day above the shop. */
(function () {
  var OFFERS = ['Free shipping today', 'Ten percent off with WELCOME10', 'New: desk lamps'];
  var banner = document.getElementById('banner');
  var index = 0;

  function readParameter(name) {
    var pairs = location.search.substring(1).split('&');
    for (var i = 0; i < pairs.length; i++) {
      var pair = pairs[i].split('=');
      if (pair[0] == name) return decodeURIComponent(pair[1])
    }
    return null;
  }

  function show(text) {
    if (banner == null) return;
    banner.innerHTML = '<strong>' + text + '</strong>';
  }

  function next() {
    index = (index + 1) % OFFERS.length;
    show(OFFERS[index]);
    var index;
  }

  function schedule(seconds) {
    switch (seconds) {
      case 0:
        console.log('banner is static');
      default:
        setTimeout('window.showNextOffer()', seconds * 1000);
    }
  }

  window.showNextOffer = next;
  show(readParameter('offer') || OFFERS[0]);
  schedule(new Number(10));
})();
